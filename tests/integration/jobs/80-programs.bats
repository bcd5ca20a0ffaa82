# Programs that people run, with pools of workers, in environments and as workflows: each runs unmoved, as a job of plain
# Slurm, and in a job that is saved every few seconds, migrated twice and preempted once; what they print must be
# the same. The programs are in programs/. Those that print a line for each round do as many unmoved as they did when moved.

load ../lib

programs=/src/tests/integration/jobs/programs

setup() {
    on ctl scancel --user=alice --quiet || true # what a test that failed has left
    eventually 60 no_jobs
    alice rm -rf unmoved moved
    alice mkdir unmoved moved
}

# moves COMMAND: a shell command that runs one of the programs, in a directory of its own. It ends when there is a file "go",
# or after $ROUNDS rounds, between which it waits for $PAUSE seconds.
moves() {
    local job turn rounds
    alice tee job.sh <<<"#!/bin/bash
$1" >/dev/null
    job=$(alice env PAUSE=0.4 sbatch --parsable -D /shared/alice/moved -o /shared/alice/moved.out -n 1 -c 2 --mem=900 --checkpoint=3s job.sh)
    has_begun moved.out || return
    for turn in 1 2 3; do
        if [ "$turn" = 2 ]; then move "$job"; else
            eventually 60 alice holdfast migrate "$job"
            wait_for_restart "$job" "$turn"
        fi
        goes_on "$job" || return
    done
    alice touch moved/go
    ends_well "$job" moved.out
    assert_equal "$(job_field "$job" Restarts)" 3

    rounds=$(on ctl grep -c '^round ' /shared/alice/moved.out || true)
    alice touch unmoved/go
    job=$(alice env PAUSE=0 ROUNDS="$rounds" sbatch --parsable -D /shared/alice/unmoved -o /shared/alice/unmoved.out -p urgent --checkpoint=off -n 1 -c 2 --mem=900 job.sh)
    ends_well "$job" unmoved.out
    on ctl diff -a /shared/alice/unmoved.out /shared/alice/moved.out >&2
}

# has_begun FILE: the program is at its work: some rounds are done, or files of its own made.
has_begun() {
    eventually 120 at_work "$1" || { on ctl tail -n 30 "/shared/alice/$1" >&2; return 1; }
}
at_work() { on ctl sh -c "grep -q '^round 2' /shared/alice/$1 || ls /shared/alice/moved/part.3 || ls /shared/alice/moved/ended" >/dev/null 2>&1; }

# goes_on JOB: it does something after it was moved: prints, or, if it prints at its end only, uses the processor.
goes_on() {
    local before
    before=$(on ctl stat -c %s /shared/alice/moved.out)
    [ "$before" != 0 ] || return 0
    eventually 60 has_grown "$before" || {
        on ctl tail -n 30 /shared/alice/moved.out >&2
        alice holdfast show "$1" >&2
        return 1
    }
}
has_grown() { [ "$(on ctl stat -c %s /shared/alice/moved.out)" -gt "$1" ]; }

ends_well() {
    wait_for_end "$1" 240
    job_is "$1" COMPLETED || { on ctl tail -n 30 "/shared/alice/$2" >&2; alice holdfast show "$1" >&2; return 1; }
    assert_contains "$(on ctl tail -n 1 "/shared/alice/$2")" done
}

@test "Python: processes by fork" { moves "python3 $programs/pools.py fork"; }
@test "Python: processes by forkserver" { moves "python3 $programs/pools.py forkserver"; }
@test "Python: processes by spawn" { moves "python3 $programs/pools.py spawn"; }
@test "Python: joblib's processes" { moves "python3 $programs/loky.py"; }
@test "Python: a local cluster of dask" { moves "python3 $programs/dasks.py"; }
@test "Perl: children, pipes and a ticking timer" { moves "perl $programs/pool.pl"; }
@test "Java: executors, fork and join, parallel streams" {
    alice java -cp /usr/share/java/eclipse-jdt-core-compiler-batch.jar org.eclipse.jdt.internal.compiler.batch.Main \
        -17 -nowarn -d classes "$programs/Pool.java"
    moves "java -Xmx300m -cp ../classes Pool"
}
@test "Node: worker threads, cluster, children" { moves "node $programs/pool.js"; }
@test "Go: goroutines, an HTTP server" {
    alice env HOME=/shared/alice GOFLAGS=-p=1 go build -o /shared/alice/pool "$programs/pool.go"
    moves ../pool
}
@test "R: mclapply and makeCluster" { moves "Rscript $programs/pools.R"; }
@test "a runtime as Julia's: safepoints by SIGSEGV, tasks on threads, code that is compiled meanwhile" {
    alice cc -O1 -o safepoints "$programs/safepoints.c" -lpthread
    moves ../safepoints
}
@test "the shell: make, xargs, coprocesses, locks, stopped jobs" { moves "bash $programs/shell.sh"; }
@test "the shell in a step" { moves "srun bash $programs/shell.sh"; }
@test "environments: of Python, moved to another prefix and activated as conda's, and modules" {
    moves "bash $programs/environment.sh"
}
@test "a workflow of Snakemake's within the job" {
    moves "HOME=\$PWD snakemake --quiet all --cores 3 --snakefile $programs/Snakefile >log 2>&1; cat sum; echo done"
}
@test "a workflow as of Nextflow's local executor within the job" { moves "bash $programs/nextflow.sh"; }
