# Requeued by people, by exit codes, and by the loss of a node.

load ../lib
load ways

setup() { options=(); }
teardown() {
    stop_watching
    on ctl scontrol update nodename=n1,n2,n3 state=resume 2>/dev/null || true
}

# Slurm refuses to requeue its own that were submitted with --no-requeue, but not ours: while they
# run its record has to allow it.
@test "scontrol requeue by its user: saved, goes on" {
    begin_way -p nograce
    alice scontrol requeue "$all" || true # but plain.no
    way_ends "scontrol requeue" "starts over / goes on" "goes on" "goes on" "starts over / ends, CANCELLED"
}

@test "scontrol requeue by an operator" {
    begin_way -p nograce
    on ctl scontrol requeue "$all" || true
    way_ends "scontrol requeue by an operator" "starts over / goes on" "goes on" "goes on" "starts over / ends, CANCELLED"
}

@test "scontrol requeue within the script: saved in the middle of the command" {
    begin_way -p nograce
    # shellcheck disable=SC2016 # the script's
    all_do 'scontrol requeue $SLURM_JOB_ID && sleep 10'
    way_ends "scontrol requeue in the script" "starts over / goes on" "goes on" "goes on" "starts over / ends, CANCELLED"
}

@test "scontrol requeuehold: saved, held as asked, goes on when it is released" {
    begin_way -p nograce
    alice scontrol requeuehold "$all" || true
    wait_until 60 is_held plain.yes saveable.yes saveable.no saved.yes saved.no unsaveable.yes
    sleep 3
    wait_until 1 is_held saveable.yes saveable.no saved.yes saved.no
    alice scontrol release "$all" || true
    way_ends "scontrol requeuehold, release" "starts over / goes on" "goes on" "goes on" "starts over / ends, CANCELLED"
}

@test "a suspended job is requeued: Slurm kills it at once, and holds it; released, the newest checkpoint counts" {
    begin_way -p nograce
    on ctl scontrol suspend "$all"
    sleep 4 # Slurm takes its time to suspend
    on ctl scontrol requeue "$all" || true
    wait_until 60 is_held plain.yes saveable.yes saved.yes saved.no unsaveable.yes
    on ctl scontrol release "$all" || true
    on ctl scontrol resume "${jobs[plain.no]}"
    way_ends "scontrol suspend, requeue, release" \
        "starts over / goes on" "starts over / ends, CANCELLED" "goes on" "starts over / ends, CANCELLED"
}

# Slurm refuses to requeue any that were submitted with --no-requeue, ours too, since they have ended.
@test "requeued after its end: the script starts over, and nothing of the first run is restored" {
    begin_way -p nograce
    go
    wait_until "$patience" is_settled "${!jobs[@]}"
    alice scontrol requeue "$all" || true
    for kind in saveable saved unsaveable; do on ctl scontrol update jobid="${jobs[$kind.yes]}" starttime=now; done
    eventually 60 all_have_begun_again
    way_ends "scontrol requeue, after the end" \
        "starts over / goes on" "starts over / goes on" "starts over / goes on" "starts over / goes on"
}
all_have_begun_again() { [ "$(cat $way/*.yes.starts | wc -l)" = 8 ]; }

@test "the script ends with an exit code of RequeueExit: it starts over" {
    nudged=("${!place[@]}") # once they have ended, Slurm lets ours wait, too
    begin_way -p nograce
    all_do 'trap "exit 142" EXIT'
    way_ends RequeueExit "starts over / ends, FAILED" "starts over / ends, FAILED" \
        "starts over / ends, FAILED" "starts over / ends, FAILED"
}

@test "its node is set DOWN: saved, goes on, with nothing of ours in its output" {
    patience=180
    nudged=("${!place[@]}") # those that may go nowhere else
    begin_way -p nograce
    on ctl scontrol update nodename=n1,n2,n3 state=down reason=test
    sleep 3
    on ctl scontrol update nodename=n1,n2,n3 state=resume || true # Slurm did
    way_ends "node set DOWN" "starts over / ends, NODE_FAIL" "goes on" "goes on" "starts over / ends, CANCELLED"
}

@test "scancel: as ever" {
    begin_way -p nograce
    alice scancel "${jobs[@]}"
    way_ends scancel "ends, CANCELLED" "ends, CANCELLED" "ends, CANCELLED" "ends, CANCELLED"
}
