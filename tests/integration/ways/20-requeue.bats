# Requeued by people, by exit codes, and by the loss of a node.

load ../lib
load ways

setup() { options=() hindrance=; }
teardown() { on ctl scontrol update nodename=n1,n2 state=resume 2>/dev/null || true; }

@test "scontrol requeue by its user: saved, goes on" {
    begin_way -p nograce
    alice scontrol requeue "$plain"
    alice scontrol requeue "$ours"
    way_ends "scontrol requeue" "starts over" "goes on"
}

@test "scontrol requeue by an operator, and it cannot be saved: starts over" {
    hindrance=$unsaveable
    begin_way -p nograce
    on ctl scontrol requeue "$plain,$ours"
    way_ends "scontrol requeue, unsaveable" "starts over" "starts over"
}

@test "scontrol requeuehold: saved, held as asked, goes on when it is released" {
    begin_way -p nograce
    alice scontrol requeuehold "$plain"
    alice scontrol requeuehold "$ours"
    eventually 60 job_held "$plain"
    eventually 60 job_held "$ours"
    sleep 3
    job_held "$ours"
    alice scontrol release "$plain" "$ours"
    way_ends "scontrol requeuehold, release" "starts over" "goes on"
}

@test "a suspended job is requeued: Slurm kills it at once, and holds it; released, it starts over" {
    begin_way -p nograce
    on ctl scontrol suspend "$plain,$ours"
    sleep 4 # Slurm takes its time to suspend
    on ctl scontrol requeue "$plain,$ours"
    eventually 30 job_held "$plain"
    eventually 30 job_held "$ours"
    on ctl scontrol release "$plain" "$ours"
    way_ends "scontrol suspend, requeue, release" "starts over" "starts over"
}

@test "requeued after its end: the script starts over, and nothing of the first run is restored" {
    begin_way -p nograce
    alice holdfast save "$ours"
    eventually 60 job_over "$plain"
    eventually 60 job_over "$ours"
    eventually 20 details_are "$ours" .state ended
    alice scontrol requeue "$plain"
    alice scontrol requeue "$ours"
    eventually 30 job_is "$ours" PENDING
    on ctl scontrol update jobid="$ours" starttime=now
    eventually 30 job_is "$ours" RUNNING
    way_ends "scontrol requeue, after the end" "starts over" "starts over"
    output_is_whole
}

@test "the script ends with an exit code of RequeueExit: it starts over" {
    begin_way -p nograce
    alice sh -c 'echo 142 >way/plain.exit; echo 142 >way/ours.exit'
    alice holdfast save "$ours"
    way_ends "RequeueExit" "starts over" "starts over"
    output_is_whole
}

@test "its node is set DOWN, and it was saved before: goes on, with nothing of ours in its output" {
    begin_way -p nograce
    alice holdfast save "$ours"
    on ctl scontrol update nodename=n1,n2 state=down reason=test
    sleep 3
    on ctl scontrol update nodename=n1,n2 state=resume || true # Slurm did
    way_ends "node set DOWN, saved before" "starts over" "goes on"
}

@test "its node is set DOWN, and it was never saved: starts over" {
    begin_way -p nograce
    on ctl scontrol update nodename=n1,n2 state=down reason=test
    sleep 3
    on ctl scontrol update nodename=n1,n2 state=resume || true # Slurm did
    way_ends "node set DOWN, never saved" "starts over" "starts over"
    diff <(seq "$rounds") <(on ctl tail -n +2 /shared/alice/way/ours.out)
}

@test "scancel: as ever" {
    begin_way -p nograce
    alice scancel "$plain" "$ours"
    way_ends "scancel" "ends, CANCELLED" "ends, CANCELLED"
}
