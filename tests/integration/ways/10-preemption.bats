# Preemption, by partitions in each mode, with and without a grace time.

load ../lib
load ways

setup_file() {
    idle_cluster
    : >/tmp/ways.tsv
}
setup() { options=(); }

@test "preempted by REQUEUE without a grace time: saved within KillWait" {
    begin_way -p nograce
    take_nodes
    way_ends "preemption, REQUEUE, GraceTime=0" \
        "starts over / ends, PREEMPTED" "goes on" "goes on" "starts over / ends, CANCELLED"
    assert_contains "$(head -n 1 $way/unsaveable.yes.out)" "starts over"
}

@test "the same with --checkpoint-fallback=hold: what was never saved is held" {
    options=(--checkpoint-fallback=hold)
    begin_way -p nograce
    take_nodes
    way_ends "preemption, REQUEUE, GraceTime=0, --checkpoint-fallback=hold" \
        "starts over / ends, PREEMPTED" "goes on" "goes on" held
}

@test "preempted by REQUEUE with a grace time" {
    begin_way -p spot
    take_nodes
    way_ends "preemption, REQUEUE, GraceTime=60" \
        "starts over / ends, PREEMPTED" "goes on" "goes on" "starts over / ends, PREEMPTED"
}

@test "preempted by CANCEL without a grace time: saved within KillWait" {
    begin_way -p cancel
    take_nodes
    way_ends "preemption, CANCEL, GraceTime=0" "ends, PREEMPTED" "goes on" "goes on" "ends, PREEMPTED"
}

# Slurm marks a job in its grace time, and never takes the mark off one that it ends: whenever that
# ends later, it says PREEMPTED, whatever the exit code.
@test "preempted by CANCEL with a grace time: goes on to its end, which Slurm calls PREEMPTED" {
    begin_way -p cancelgrace
    take_nodes
    way_ends "preemption, CANCEL, GraceTime=60" "ends, PREEMPTED" "ends, PREEMPTED" "ends, PREEMPTED" "ends, PREEMPTED"
    for name in saveable.yes saveable.no saved.yes saved.no; do output_is_whole $name; done
}
