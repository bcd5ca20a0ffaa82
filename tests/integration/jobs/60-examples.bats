# The examples that people read first: each is moved twice, and prints what it prints unmoved. Ring,
# heat2d and xgboost are in other files.

load ../lib

teardown_file() { on ctl pkill -f licence/server.py || true; }

# moved_twice EXAMPLE TEXT [VARIABLE=VALUE...]: submits examples/EXAMPLE.sbatch, in a directory each, to
# run unmoved and to be moved, twice, from when TEXT is in one of its files; compares all that it prints.
moved_twice() {
    local script=$examples/$1.sbatch text=$2 way
    shift 2
    alice mkdir unmoved moved
    job=$(in_directory unmoved env "$@" PAUSE_MS=0 sbatch --parsable -p urgent --checkpoint=off -o out -e err "$script")
    wait_for_end "$job" 200
    job_is "$job" COMPLETED || { on ctl tail /shared/alice/unmoved/{out,err} >&2; return 1; }
    job=$(in_directory moved env "$@" sbatch --parsable -o out -e err "$script")
    eventually 60 on ctl grep -rqaF -- "$text" /shared/alice/moved
    move "$job"
    move "$job"
    wait_for_end "$job" 200
    job_is "$job" COMPLETED || { on ctl tail /shared/alice/moved/{out,err} >&2; return 1; }
    assert_equal "$(job_field "$job" Restarts)" 2
    diff <(on ctl cat /shared/alice/unmoved/out) <(on ctl cat /shared/alice/moved/out)
}
in_directory() { alice env -C "$@"; }

setup() {
    on ctl scancel --user=alice --quiet || true # what a test that failed has left
    eventually 60 no_jobs
    alice rm -rf unmoved moved
}

@test "farm: a hundred steps, each run once" {
    alice tee counted.py >/dev/null <<END
import runpy, sys
with open("begun", "a") as begun:
    begun.write(sys.argv[1] + "\n")
runpy.run_path("$examples/farm/lyapunov.py", run_name="__main__")
END
    moved_twice farm/farm '3.' STEPS=1500000 LYAPUNOV=/shared/alice/counted.py
    diff <(seq 100) <(on ctl sort -n /shared/alice/moved/begun)
}

@test "montecarlo: every estimate is the same" {
    moved_twice montecarlo/montecarlo 'batch 2 ' SCENARIOS=1500000 BATCHES=100
}

@test "mpi4py: four interpreters and one HDF5 file" {
    moved_twice mpi4py/nbody 'step 40 ' STEPS=1000 PAUSE_MS=450
    assert_equal "$(on ctl cat /shared/alice/moved/err)" ""
}

@test "ddp: gradients summed over sockets" {
    moved_twice ddp/train 'epoch 50 ' EPOCHS=1000 PAUSE_MS=25
}

# The lab's shared disk is in memory, which the job pays for: no file larger than that.
@test "analytics: in the middle of a stream" {
    moved_twice analytics/analytics '40 MiB' MEBIBYTES=200 PAUSE_MS=500
}

@test "licence: the server is asked again after each move" {
    on ctl pkill -f licence/server.py || true
    on ctl python3 -u "$examples/licence/server.py" 27000 >/dev/null 2>&1 3>&- &
    eventually 10 on ctl nc -z localhost 27000
    moved_twice licence/solver 'step 10 ' LICENCE_SERVER=ctl:27000 STEPS=250
    assert_equal "$(on ctl grep -c 'licence lost' /shared/alice/moved/err)" 2
}
