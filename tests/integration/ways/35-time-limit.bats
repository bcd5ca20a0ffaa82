# The job's own time limit.

load ../lib
load ways

setup() {
    options=(--checkpoint-timelimit=requeue) hindrance=
    rounds=900   # a minute and a half
    patience=240 # slurmctld looks every half minute whose time is over
}

@test "its time is over, and it is to be requeued then: goes on with a fresh limit" {
    begin_way -p nograce -t 1
    way_ends "time limit, --checkpoint-timelimit=requeue" "ends, TIMEOUT" "goes on"
}

@test "the same, and it cannot be saved: ends" {
    hindrance=$unsaveable
    begin_way -p nograce -t 1
    way_ends "time limit, --checkpoint-timelimit=requeue, unsaveable" "ends, TIMEOUT" "ends, TIMEOUT"
    assert_equal "$(on ctl cat /shared/alice/way/ours.starts | wc -l)" 1
}

@test "without --checkpoint-timelimit: ends" {
    options=()
    begin_way -p nograce -t 1
    way_ends "time limit" "ends, TIMEOUT" "ends, TIMEOUT"
}
