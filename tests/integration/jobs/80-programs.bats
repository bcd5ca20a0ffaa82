# The programs that people write: workers in several languages, scripts, environments and workflow
# engines. Each runs unmoved, and another time it is moved thrice; what they print must be the same.

load ../lib

programs=/src/tests/integration/jobs/programs

setup() {
    on ctl scancel --user=alice --quiet || true # what a test that failed has left
    eventually 60 no_jobs
    alice rm -rf unmoved moved
    alice mkdir unmoved moved
}

# started WAY COMMAND [SBATCH-OPTION...]: in a directory of its name; prints the job's id.
started() {
    local way=$1 command=$2
    shift 2
    printf '#!/bin/bash\nexport PAUSE=%s/pause GO=/shared/alice/%s/go PROGRESS=/shared/alice/%s/out\n%s\n' "$programs" "$way" "$way" "$command" |
        alice sbatch --parsable -D "/shared/alice/$way" -n 1 -c 2 --mem=700 --open-mode=append -o out -e err "$@"
}

# moved_thrice COMMAND: when it has got through some of its rounds; it waits with its last one until it has
# been moved, and has no pauses then. The order of "round" lines is not
# compared, which workers print as they come.
moved_thrice() {
    local job turn
    alice touch unmoved/go
    job=$(started unmoved "$1" -p urgent --checkpoint=off)
    wait_for_end "$job" 200
    job_is "$job" COMPLETED || { on ctl tail /shared/alice/unmoved/{out,err} >&2; return 1; }
    job=$(started moved "$1" -p nograce --checkpoint --checkpoint-dir=/shared/alice/ckpt)
    for turn in 1 2 3; do
        eventually 60 rounds_are $((turn * 4))
        eventually 30 alice holdfast migrate "$job"
        wait_for_restart "$job" "$turn"
    done
    alice touch moved/go
    wait_for_end "$job" 200
    job_is "$job" COMPLETED || { on ctl tail /shared/alice/moved/{out,err} >&2; return 1; }
    assert_equal "$(job_field "$job" Restarts)" 3
    diff <(on ctl sort /shared/alice/unmoved/out) <(on ctl sort /shared/alice/moved/out) >&2
    assert_equal "$(on ctl cat /shared/alice/moved/err)" "$(on ctl cat /shared/alice/unmoved/err)"
}
rounds_are() { [ "$(on ctl cat /shared/alice/moved/out 2>/dev/null | grep -c '^round')" -ge "$1" ]; }

@test "Python: a pool of forked workers" { moved_thrice "exec python3 $programs/pool.py fork"; }

# bats test_tags=slice
@test "Python: a pool of spawned workers" { moved_thrice "exec python3 $programs/pool.py spawn"; }
@test "Python: a pool of a fork server" { moved_thrice "exec python3 $programs/pool.py forkserver"; }
@test "Python: numpy, scipy and h5py" { moved_thrice "exec python3 $programs/arrays.py"; }
@test "Perl: forked workers and alarms" { moved_thrice "exec perl $programs/pool.pl"; }
@test "C: OpenMP" { moved_thrice "gcc -O1 -fopenmp -o threads $programs/threads.c && exec ./threads"; }
@test "bash: make, xargs, coprocesses, job control" { moved_thrice "exec bash $programs/shell.sh"; }
@test "environments, as conda and modules make them" { moved_thrice "exec bash $programs/environment.sh"; }

@test "Snakemake" {
    moved_thrice "export HOME=\$PWD; snakemake -q -j 3 -s $programs/workflow.smk >log 2>&1 && cat sum"
}

@test "a workflow engine of Nextflow's shape" { moved_thrice "exec python3 $programs/tasks.py"; }
