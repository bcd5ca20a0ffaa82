# Each way of those before for jobs that cannot be saved when it comes: saved before or never, with
# and without --no-requeue.

load ../lib
load ways

setup() { options=() hindrance=; }
teardown() { on ctl scontrol update nodename=n1,n2 state=resume 2>/dev/null || true; }

# From then on it cannot be saved.
hinder() { alice touch way/hinder; sleep 1; }

take_by_preemption() { take_nodes; }
take_by_requeue() {
    alice scontrol requeue "$plain" || true # Slurm refuses if it was submitted with --no-requeue
    alice scontrol requeue "$ours"
}
take_by_requeuehold() {
    alice scontrol requeuehold "$plain" || true
    alice scontrol requeuehold "$ours"
    eventually 60 settled "$ours"
    alice scontrol release "$plain" "$ours" || true
}
take_by_down() {
    on ctl scontrol update nodename=n1,n2 state=down reason=test
    eventually 60 job_left "$ours"
    sleep 3 # a start in the second in which the one before ended there is refused, and then held
    on ctl scontrol update nodename=n1,n2 state=resume || true
}
job_left() { ! job_is "$1" RUNNING; }

# combination WAY NAME PARTITION PLAIN OURS SAVED [SBATCH-OPTION...]
combination() {
    local way=$1 name=$2 partition=$3 in_plain=$4 in_ours=$5 saved=$6
    shift 6
    hindrance="(until [ -e /shared/alice/way/hinder ]; do sleep 0.1; done; exec ${unsaveable% &}) &"
    begin_way -p "$partition" "$@"
    [ "$saved" = never ] || alice holdfast save "$ours"
    hinder
    "take_by_$way"
    way_ends "$name" "$in_plain" "$in_ours"
}

combine() { # WAY NAME PARTITION PLAIN OURS SAVED [SBATCH-OPTION...]
    bats_test_function --description "$2: $5" -- combination "$@"
}

combine preemption "preemption, REQUEUE, GraceTime=0, saved before, unsaveable" nograce "starts over" "goes on" before
combine preemption "preemption, REQUEUE, GraceTime=0, --no-requeue, saved before, unsaveable" nograce "ends, PREEMPTED" "goes on" before --no-requeue
combine preemption "preemption, CANCEL, GraceTime=0, saved before, unsaveable" cancel "ends, PREEMPTED" "goes on" before
combine preemption "preemption, CANCEL, GraceTime=0, --no-requeue, saved before, unsaveable" cancel "ends, PREEMPTED" "goes on" before --no-requeue
combine preemption "preemption, CANCEL, GraceTime=0, --no-requeue, unsaveable" cancel "ends, PREEMPTED" "ends, PREEMPTED" never --no-requeue
combine requeue "scontrol requeue, saved before, unsaveable" nograce "starts over" "goes on" before
combine requeue "scontrol requeue, --no-requeue, saved before, unsaveable" nograce "goes on" "goes on" before --no-requeue
combine requeue "scontrol requeue, --no-requeue, unsaveable" nograce "goes on" "ends, CANCELLED" never --no-requeue
combine requeuehold "scontrol requeuehold, release, saved before, unsaveable" nograce "starts over" "goes on" before
combine requeuehold "scontrol requeuehold, release, unsaveable" nograce "starts over" "starts over" never
combine requeuehold "scontrol requeuehold, release, --no-requeue, saved before, unsaveable" nograce "goes on" "goes on" before --no-requeue
combine requeuehold "scontrol requeuehold, --no-requeue, unsaveable" nograce "goes on" "ends, CANCELLED" never --no-requeue
combine down "node set DOWN, saved before, unsaveable" nograce "starts over" "goes on" before
combine down "node set DOWN, --no-requeue, saved before, unsaveable" nograce "ends, NODE_FAIL" "goes on" before --no-requeue
combine down "node set DOWN, --no-requeue, unsaveable" nograce "ends, NODE_FAIL" "ends, CANCELLED" never --no-requeue
