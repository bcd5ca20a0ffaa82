# The job's own time limit.

load ../lib
load ways

setup() {
    options=()
    rounds=900   # a minute and a half
    patience=240 # slurmctld looks every half minute whose time is over
}

@test "its time is over, and it is to be requeued then: goes on with a fresh limit" {
    options=(--checkpoint-timelimit=requeue)
    begin_way -p nograce -t 1
    way_ends "time limit, --checkpoint-timelimit=requeue" "ends, TIMEOUT" "goes on" "ends, TIMEOUT" "ends, TIMEOUT"
}

@test "without --checkpoint-timelimit: ends" {
    begin_way -p nograce -t 1
    way_ends "time limit" "ends, TIMEOUT" "ends, TIMEOUT" "ends, TIMEOUT" "ends, TIMEOUT"
}
