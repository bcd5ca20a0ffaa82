# Preemption by QOS, where the partition says nothing.

load ../lib
load ways

# use PREEMPT-TYPE: takes a restart of slurmctld.
use() {
    on ctl sed -i "s|^PreemptType=.*|PreemptType=preempt/$1|" /etc/slurm/slurm.conf
    on ctl scontrol reconfigure
    eventually 20 on ctl scontrol ping
}

setup_file() {
    idle_cluster
    on ctl sacctmgr -i add qos scavenger set preemptmode=requeue
    on ctl sacctmgr -i add qos scavengergrace set preemptmode=requeue gracetime=60
    on ctl sacctmgr -i add qos scavengershort set preemptmode=requeue gracetime=3
    on ctl sacctmgr -i add qos expendable set preemptmode=cancel
    on ctl sacctmgr -i add qos rush set preempt=scavenger,scavengergrace,scavengershort,expendable
    on ctl sacctmgr -i modify user alice set qos+=scavenger,scavengergrace,scavengershort,expendable,rush
    use qos
}
teardown_file() {
    use partition_prio
    on ctl sacctmgr -i delete qos scavenger,scavengergrace,scavengershort,expendable,rush
}
setup() { options=(); }

@test "preempted by a QOS, REQUEUE: saved within KillWait" {
    begin_way -p nograce --qos=scavenger
    take_nodes -p nograce --qos=rush
    way_ends "preemption by QOS, REQUEUE, GraceTime=0" \
        "starts over / ends, PREEMPTED" "goes on" "goes on" "starts over / ends, CANCELLED"
}

@test "the same with a grace time" {
    begin_way -p nograce --qos=scavengergrace
    take_nodes -p nograce --qos=rush
    way_ends "preemption by QOS, REQUEUE, GraceTime=60" \
        "starts over / ends, PREEMPTED" "goes on" "goes on" "starts over / ends, PREEMPTED"
}

# slurmctld forgets to take its mark of the grace time off a job that it requeues when that is over.
# Plain Slurm starts such a script over once more when it has ended; ours are rid of the mark.
@test "the same, and it passes: what goes on then is not started over after its end" {
    begin_way -p nograce --qos=scavengershort
    urgent=$(preempt n1,n2,n3 -p nograce --qos=rush)
    wait_until 90 has_been_requeued plain.yes saved.yes saved.no unsaveable.yes
    leave_nodes "$urgent"
    way_ends "preemption by QOS, REQUEUE, GraceTime=3" \
        "starts over / ends, PREEMPTED" "goes on" "goes on" "starts over / ends, CANCELLED"
    assert_equal "$(starts_of unsaveable.yes)" 2
}
has_been_requeued() { [ "$(of "$1" Restarts)" != 0 ]; }

@test "preempted by a QOS, CANCEL: saved within KillWait" {
    begin_way -p nograce --qos=expendable
    take_nodes -p nograce --qos=rush
    way_ends "preemption by QOS, CANCEL, GraceTime=0" "ends, PREEMPTED" "goes on" "goes on" "ends, PREEMPTED"
}
