# Preemption, by partitions in each mode, with and without a grace time.

load ../lib
load ways

setup_file() {
    idle_cluster
    : >/tmp/ways.tsv
}
setup() { options=() hindrance=; }

@test "preempted by REQUEUE without a grace time: saved within KillWait" {
    begin_way -p nograce
    take_nodes
    way_ends "preemption, REQUEUE, GraceTime=0" "starts over" "goes on"
}

@test "the same, and it cannot be saved: starts over, and says so" {
    hindrance=$unsaveable
    begin_way -p nograce
    take_nodes
    way_ends "preemption, REQUEUE, GraceTime=0, unsaveable" "starts over" "starts over"
    assert_contains "$(on ctl head -n 1 /shared/alice/way/ours.out)" "starts over"
    diff <(seq "$rounds") <(on ctl tail -n +2 /shared/alice/way/ours.out)
}

@test "the same with --checkpoint-fallback=hold: held" {
    hindrance=$unsaveable options=(--checkpoint-fallback=hold)
    begin_way -p nograce
    take_nodes
    way_ends "preemption, REQUEUE, GraceTime=0, unsaveable, fallback=hold" "starts over" held
    alice scancel "$ours"
}

@test "preempted by REQUEUE with a grace time" {
    begin_way -p spot
    take_nodes
    way_ends "preemption, REQUEUE, GraceTime=60" "starts over" "goes on"
}

@test "preempted by CANCEL without a grace time: saved within KillWait" {
    begin_way -p cancel
    take_nodes
    way_ends "preemption, CANCEL, GraceTime=0" "ends, PREEMPTED" "goes on"
}

@test "the same, and it cannot be saved: ends" {
    hindrance=$unsaveable
    begin_way -p cancel
    take_nodes
    way_ends "preemption, CANCEL, GraceTime=0, unsaveable" "ends, PREEMPTED" "ends, PREEMPTED"
}

# Slurm marks a job in its grace time, and never takes the mark off one that it ends: whenever that
# ends later, it says PREEMPTED, whatever the exit code.
@test "preempted by CANCEL with a grace time: goes on to its end, which Slurm calls PREEMPTED" {
    begin_way -p cancelgrace
    take_nodes
    way_ends "preemption, CANCEL, GraceTime=60" "ends, PREEMPTED" "ends, PREEMPTED"
    output_is_whole
    assert_equal "$(on ctl cat /shared/alice/way/ours.starts | wc -l)" 1
    assert_equal "$(job_field "$ours" ExitCode)" 0:0
}

@test "--no-requeue, preempted by REQUEUE without a grace time" {
    begin_way -p nograce --no-requeue
    take_nodes
    way_ends "preemption, REQUEUE, GraceTime=0, --no-requeue" "ends, PREEMPTED" "goes on"
}

@test "--no-requeue, preempted by REQUEUE with a grace time" {
    begin_way -p spot --no-requeue
    take_nodes
    way_ends "preemption, REQUEUE, GraceTime=60, --no-requeue" "ends, PREEMPTED" "goes on"
}

@test "--no-requeue, preempted by CANCEL" {
    begin_way -p cancel --no-requeue
    take_nodes
    way_ends "preemption, CANCEL, GraceTime=0, --no-requeue" "ends, PREEMPTED" "goes on"
}

@test "--no-requeue, and it cannot be saved: never started over" {
    hindrance=$unsaveable
    begin_way -p nograce --no-requeue
    take_nodes
    way_ends "preemption, REQUEUE, GraceTime=0, --no-requeue, unsaveable" "ends, PREEMPTED" "ends, CANCELLED"
    assert_equal "$(on ctl cat /shared/alice/way/ours.starts | wc -l)" 1
}
