# What happens to nodes, to slurmd on them, to partitions, and reservations that begin and end.

load ../lib
load ways

setup() { options=(); }
teardown() {
    stop_watching
    local node
    for node in n1 n2 n3; do
        ip link set "port-$node" up
        on "$node" true 2>/dev/null || /src/lab/lib/node-start "$node"
    done
    on ctl scontrol update partition=nograce state=up
    without_slurm_settings
    rm -f /shared/health /shared/sick-*
    resume_nodes
    # A test that failed may have left something.
    on ctl scontrol delete reservation=work 2>/dev/null || true
}

# on_nodes COMMAND...: with each node's name behind it, on the hub. set_nodes STATE: by an administrator.
on_nodes() {
    local node
    for node in n1 n2 n3; do "$@" "$node"; done
}
set_nodes() { on ctl scontrol update nodename=n1,n2,n3 reason=test state="$1"; }
# Slurm may have done so by itself, when they answered.
resume_nodes() { on ctl scontrol update nodename=n1,n2,n3 state=resume 2>/dev/null || true; }

# All nodes die, and boot again when Slurm has taken note of it.
lose_nodes() {
    on_nodes /src/lab/lib/node-stop
    wait_until 60 is_taken "${!jobs[@]}"
    on_nodes /src/lab/lib/node-start
}

@test "its node is lost: goes on from where it was saved before" {
    nudged=("${!place[@]}")
    begin_way -p nograce
    lose_nodes
    way_ends "node lost" "starts over / ends, NODE_FAIL" \
        "starts over / ends, CANCELLED" "goes on" "starts over / ends, CANCELLED"
}

@test "slurmd is killed and comes back: the job does not notice" {
    begin_way -p nograce
    restart_slurmd() { on "$1" pkill -KILL -x slurmd && on "$1" slurmd; }
    on_nodes restart_slurmd
    way_ends "slurmd killed and started again" "goes on" "goes on" "goes on" "goes on"
}

@test "slurmd is restarted: the job does not notice" {
    begin_way -p nograce
    restart_slurmd() { on "$1" pkill -x slurmd && eventually 10 slurmd_is_gone "$1" && on "$1" slurmd; }
    on_nodes restart_slurmd
    way_ends "slurmd restarted" "goes on" "goes on" "goes on" "goes on"
}
slurmd_is_gone() { ! on "$1" pgrep -x slurmd >/dev/null; }

cut_off() { ip link set "port-$1" down; }
let_in() { ip link set "port-$1" up; }

@test "its node cannot be reached for less than SlurmdTimeout: the job does not notice" {
    begin_way -p nograce
    on_nodes cut_off
    sleep 5
    on_nodes let_in
    way_ends "node unreachable for less than SlurmdTimeout" "goes on" "goes on" "goes on" "goes on"
}

@test "its node cannot be reached for longer than SlurmdTimeout: goes on from where it was saved before" {
    nudged=("${!place[@]}")
    begin_way -p nograce
    on_nodes cut_off
    wait_until 60 is_taken "${!jobs[@]}"
    on_nodes let_in
    resume_nodes
    way_ends "node unreachable for longer than SlurmdTimeout" "starts over / ends, NODE_FAIL" \
        "starts over / ends, CANCELLED" "goes on" "starts over / ends, CANCELLED"
}

@test "its partition is set DRAIN, DOWN and INACTIVE: running jobs go on" {
    begin_way -p nograce
    for state in drain down inactive; do
        on ctl scontrol update partition=nograce state=$state
        sleep 1
    done
    way_ends "partition set DRAIN, DOWN, INACTIVE" "goes on" "goes on" "goes on" "goes on"
}

@test "its node is drained: the job goes on to its end there" {
    begin_way -p nograce
    set_nodes drain
    way_ends "node drained" "goes on" "goes on" "goes on" "goes on"
    resume_nodes
}

@test "its node is to reboot: the job goes on to its end there" {
    begin_way -p nograce
    on ctl scontrol reboot n1,n2
    on ctl scontrol reboot ASAP n3
    way_ends "scontrol reboot, reboot ASAP" "goes on" "goes on" "goes on" "goes on"
    on ctl scontrol cancel_reboot n1,n2,n3 2>/dev/null || true
    resume_nodes
}

# with_health_check STATE: a site's program that sets a node that is sick to that.
with_health_check() {
    on ctl tee /shared/health >/dev/null <<END
#!/bin/sh
node=\$(hostname -s)
[ ! -e /shared/sick-\$node ] || { rm /shared/sick-\$node; scontrol update nodename=\$node state=$1 reason=sick; }
END
    on ctl chmod +x /shared/health
    with_slurm_settings HealthCheckProgram=/shared/health HealthCheckInterval=1
}
is_noticed() { on ctl test ! -e "/shared/sick-$1"; }

@test "the health check sets its node DOWN: saved, goes on" {
    with_health_check down
    nudged=("${!place[@]}")
    begin_way -p nograce
    on ctl touch /shared/sick-n1 /shared/sick-n2 /shared/sick-n3
    wait_until 60 is_taken "${!jobs[@]}"
    resume_nodes
    way_ends "health check sets the node DOWN" \
        "starts over / ends, NODE_FAIL" "goes on" "goes on" "starts over / ends, CANCELLED"
}

@test "the health check drains its node: the job goes on to its end there" {
    with_health_check drain
    begin_way -p nograce
    on ctl touch /shared/sick-n1 /shared/sick-n2 /shared/sick-n3
    on_nodes eventually 60 is_noticed
    way_ends "health check drains the node" "goes on" "goes on" "goes on" "goes on"
    resume_nodes
}

# What boots a node again tells slurmctld so (-b).
with_power_saving() {
    with_slurm_settings SuspendProgram=/bin/true ResumeProgram=/bin/true SuspendTimeout=5 ResumeTimeout=60 \
        'PartitionName=saving Nodes=n4 SuspendTime=86400'
}
boot() {
    on "$1" pkill -x slurmd || true # reconfigured, it may have gone
    eventually 10 slurmd_is_gone "$1"
    on "$1" slurmd -b
}
node_is() { [[ $(on ctl sinfo -h -n "$1" -p nograce -o %T) = "$2" ]]; }
job_waits_for_its_node() { [ "$(on ctl squeue -h -j "${jobs[$1]}" -o %t)" = CF ]; }

@test "its node is to be powered down, when idle or as soon as possible: the job goes on to its end there" {
    with_power_saving
    begin_way -p nograce
    set_nodes power_down
    sleep 2
    set_nodes power_down_asap
    way_ends "scontrol power_down, power_down_asap" "goes on" "goes on" "goes on" "goes on"
    power_up
}
power_up() {
    on_nodes node_comes_down
    set_nodes power_up
    on_nodes node_powers_up
    on_nodes boot
    on_nodes node_comes_back
}
node_comes_down() { eventually 60 node_is "$1" 'idle~'; }
node_powers_up() { eventually 30 node_is "$1" 'idle#'; }
node_comes_back() { eventually 60 node_is "$1" idle; }

@test "its node is powered down: what Slurm does before it is gone suffices" {
    with_power_saving
    begin_way -p nograce
    set_nodes power_down_force
    wait_until 60 is_taken "${!jobs[@]}"
    # Slurm powers them up again for the jobs.
    for name in plain.yes saveable.yes saved.no; do eventually 60 job_waits_for_its_node $name; done
    on_nodes boot
    way_ends "scontrol power_down_force" \
        "starts over / ends, NODE_FAIL" "goes on" "goes on" "starts over / ends, CANCELLED"
}

reserve() { on ctl scontrol create reservation reservationname=work nodes=n1,n2,n3 "$@" >/dev/null; }

@test "a reservation of its node begins: the job goes on" {
    begin_way -p nograce
    reserve starttime=now duration=10 users=root flags=ignore_jobs,maint
    way_ends "reservation begins" "goes on" "goes on" "goes on" "goes on"
    on ctl scontrol delete reservation=work
}

# Slurm looks every half minute.
@test "the reservation that it runs in ends, and the job with it" {
    reserve starttime=now endtime=now+40seconds users=alice
    begin_way -p nograce --reservation=work
    wait_until 60 is_taken "${!jobs[@]}"
    way_ends "its reservation ends" "ends, TIMEOUT" "ends, TIMEOUT" "ends, TIMEOUT" "ends, TIMEOUT"
}

# A job may run on nodes of a reservation that is not its own if it can leave them in time
# (--signal=R, MaxStartDelay), and what the reservation is for then takes them.
@test "what a reservation is for takes its nodes back" {
    reserve starttime=now duration=10 users=alice maxstartdelay=60
    begin_way -p nograce --signal=R:USR1@20
    take_nodes --reservation=work
    way_ends "its reservation's own job comes" \
        "starts over / ends, PREEMPTED" "goes on" "goes on" "starts over / ends, PREEMPTED"
    on ctl scontrol delete reservation=work
}
