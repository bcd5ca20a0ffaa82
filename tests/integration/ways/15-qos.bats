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
    on ctl sacctmgr -i add qos expendable set preemptmode=cancel
    on ctl sacctmgr -i add qos rush set preempt=scavenger,scavengergrace,expendable
    on ctl sacctmgr -i modify user alice set qos+=scavenger,scavengergrace,expendable,rush
    use qos
}
teardown_file() {
    use partition_prio
    on ctl sacctmgr -i delete qos scavenger,scavengergrace,expendable,rush
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

@test "preempted by a QOS, CANCEL: saved within KillWait" {
    begin_way -p nograce --qos=expendable
    take_nodes -p nograce --qos=rush
    way_ends "preemption by QOS, CANCEL, GraceTime=0" "ends, PREEMPTED" "goes on" "goes on" "ends, PREEMPTED"
}
