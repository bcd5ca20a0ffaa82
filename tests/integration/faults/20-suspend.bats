# Suspended by Slurm is a state, not a loss: the run goes on where it was, in the same start.

load ../lib

# counting OPTION...: a checkpointed job that counts; prints its id. `numbers` is its output.
counting() { alice env "${environment[@]}" sbatch --parsable --checkpoint --checkpoint-dir=/shared/alice/ckpt -o numbers "$@" /src/tests/integration/faults/counter.sbatch; }

setup() {
    environment=(COUNT=60)
    alice rm -f numbers
}

# Its wardens may be on their way back.
saved() { eventually 60 alice holdfast save "$1"; }

# It has counted to its end, and left out nothing.
whole() {
    wait_for_state "$1" COMPLETED 180
    on ctl sed -e '/^holdfast:/d' -e '$d' /shared/alice/numbers | diff - <(seq 0 $((${environment[0]#COUNT=} - 1)))
    assert_equal "$(job_field "$1" Restarts)" "${2:-0}"
}

suspended_for() { # SECONDS JOB
    on ctl scontrol suspend "$2"
    eventually 20 job_is "$2" SUSPENDED
    sleep "$1"
    on ctl scontrol resume "$2"
    wait_for_state "$2" RUNNING
}

# bats test_tags=slice
@test "for longer than any warden is waited for: nothing is lost, and it can be saved afterwards" {
    job=$(counting)
    wait_for_text /shared/alice/numbers 3
    eventually 30 details_are "$job" .state running
    on ctl scontrol suspend "$job"
    eventually 20 details_are "$job" .state suspended
    assert_run ! alice holdfast save "$job"
    assert_contains "$output" 'Slurm has suspended it'
    sleep 45
    details_are "$job" .state suspended
    on ctl scontrol resume "$job"
    eventually 60 details_are "$job" .state running
    saved "$job"
    whole "$job"
}

@test "on two nodes, again and again" {
    job=$(counting --nodes=2)
    wait_for_text /shared/alice/numbers 3
    for _ in 1 2 3; do suspended_for 15 "$job"; done
    whole "$job"
}

@test "while it is being saved: the checkpoint is given up, and the next one succeeds" {
    environment=(COUNT=60 MEMORY=300000000)
    job=$(counting --mem=2G)
    wait_for_text /shared/alice/numbers 3
    eventually 30 details_are "$job" .state running
    alice holdfast save "$job" >/dev/null 2>&1 &
    saving=$!
    eventually 20 details_are "$job" .state freezing || true
    suspended_for 40 "$job"
    wait "$saving" || true
    eventually 60 details_are "$job" .state running
    saved "$job"
    move "$job"
    whole "$job" 1
}

@test "while it is being restored: it has all its time" {
    job=$(counting)
    wait_for_text /shared/alice/numbers 3
    eventually 30 details_are "$job" .state running
    alice holdfast save "$job" --stop
    wait_for_state "$job" PENDING
    alice holdfast resume "$job"
    wait_for_state "$job" RUNNING
    # A step that begins at this moment Slurm may forget to stop: then it runs on, to its end even.
    suspended_for 40 "$job"
    whole "$job" 1
}

@test "requeued while it is suspended, and released: it goes on from its checkpoint" {
    job=$(counting)
    wait_for_text /shared/alice/numbers 3
    eventually 30 details_are "$job" .state running
    saved "$job"
    on ctl scontrol suspend "$job"
    eventually 20 job_is "$job" SUSPENDED
    on ctl scontrol requeue "$job"
    wait_for_state "$job" PENDING
    on ctl scontrol release "$job"
    wait_for_restart "$job" 1 180
    whole "$job" 1
}

# With gang scheduling preemption by requeueing no longer takes place: a cluster has one or the other.
with_gang() {
    local node
    for node in ctl n1 n2 n3 n4; do
        on "$node" cp --update=none /etc/slurm/slurm.conf /etc/slurm/slurm.conf.site
        on "$node" sed -i -e 's/^PreemptMode=.*/PreemptMode=SUSPEND,GANG/' -e 's/ PreemptMode=[A-Z]*//' -e 's/ GraceTime=[0-9]*//' /etc/slurm/slurm.conf
    done
    restart_slurm
}
without_gang() {
    local node
    on ctl test -e /etc/slurm/slurm.conf.site || return 0
    for node in ctl n1 n2 n3 n4; do on "$node" mv /etc/slurm/slurm.conf.site /etc/slurm/slurm.conf; done
    restart_slurm
}
restart_slurm() {
    on ctl pkill -x slurmctld
    eventually 60 slurmctld_is_gone
    on ctl slurmctld
    eventually 60 on ctl scontrol ping
    /src/lab/lib/wait-idle 60
}
slurmctld_is_gone() { ! on ctl pgrep -x slurmctld; }
teardown() {
    on ctl scancel --user=alice --quiet || true
    eventually 60 no_jobs
    without_gang
}

@test "PreemptMode=SUSPEND: it stands still for the urgent job, and goes on" {
    with_gang
    job=$(counting --exclusive -w n1)
    wait_for_text /shared/alice/numbers 3
    eventually 30 details_are "$job" .state running
    urgent=$(alice sbatch --parsable --partition=urgent --nodelist=n1 --exclusive -o /dev/null --wrap 'sleep 45')
    eventually 30 job_is "$job" SUSPENDED
    wait_for_state "$urgent" COMPLETED 120
    wait_for_state "$job" RUNNING
    whole "$job"
}
