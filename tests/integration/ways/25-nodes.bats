# What happens to nodes, to slurmd on them, and to partitions.

load ../lib
load ways

setup() { options=() hindrance=; }
teardown() {
    local node
    for node in n1 n2; do on "$node" true 2>/dev/null || /src/lab/lib/node-start "$node"; done
    on ctl scontrol update partition=nograce state=up
}

# lose_nodes JOB...: both nodes die, and boot again when Slurm has requeued these jobs.
lose_nodes() {
    local node job
    for node in n1 n2; do /src/lab/lib/node-stop "$node"; done
    for job in "$@"; do eventually 60 job_is "$job" PENDING; done
    for node in n1 n2; do /src/lab/lib/node-start "$node"; done
}

@test "its node is lost, and it was saved before: goes on from there" {
    begin_way -p nograce
    alice holdfast save "$ours"
    lose_nodes "$ours" "$plain"
    way_ends "node lost, saved before" "starts over" "goes on"
}

@test "its node is lost, and it was never saved: starts over" {
    begin_way -p nograce
    lose_nodes "$ours" "$plain"
    way_ends "node lost, never saved" "starts over" "starts over"
}

@test "its node is lost, --no-requeue, and it was saved before: goes on" {
    begin_way -p nograce --no-requeue
    alice holdfast save "$ours"
    lose_nodes "$ours"
    way_ends "node lost, --no-requeue, saved before" "ends, NODE_FAIL" "goes on"
}

@test "slurmd is killed and comes back: the job does not notice" {
    begin_way -p nograce
    for node in n1 n2; do
        on "$node" pkill -KILL slurmd
        on "$node" slurmd
    done
    way_ends "slurmd killed and started again" "goes on" "goes on"
}

# Slurm sets the nodes DOWN and requeues what ran there; nobody can tell its processes.
@test "slurmd does not answer for longer than SlurmdTimeout: saved, goes on elsewhere" {
    rounds=300
    begin_way -p nograce
    for node in n1 n2; do on "$node" pkill -STOP slurmd; done
    for job in "$plain" "$ours"; do eventually 60 job_is_not_running "$job"; done
    sleep 3
    for node in n1 n2; do on "$node" pkill -CONT slurmd; done
    way_ends "slurmd silent for SlurmdTimeout" "starts over" "goes on"
}

@test "its partition is set DOWN and INACTIVE: running jobs go on" {
    begin_way -p nograce
    on ctl scontrol update partition=nograce state=down
    sleep 2
    on ctl scontrol update partition=nograce state=inactive
    way_ends "partition set DOWN, INACTIVE" "goes on" "goes on"
}

@test "its node is drained: the job goes on to its end there" {
    begin_way -p nograce
    on ctl scontrol update nodename=n1,n2 state=drain reason=test
    way_ends "node drained" "goes on" "goes on"
    on ctl scontrol update nodename=n1,n2 state=resume
}

@test "its node is to reboot: the job goes on to its end there" {
    begin_way -p nograce
    on ctl scontrol reboot n1
    on ctl scontrol reboot ASAP n2
    way_ends "scontrol reboot, ASAP" "goes on" "goes on"
    on ctl scontrol cancel_reboot n1,n2 2>/dev/null || true
    on ctl scontrol update nodename=n1,n2 state=resume 2>/dev/null || true
}

# with_slurm_setting LINE...: adds these to every slurm.conf; without_slurm_settings takes them back.
with_slurm_setting() {
    local node
    for node in ctl n1 n2 n3 n4; do
        on "$node" cp /etc/slurm/slurm.conf /etc/slurm/slurm.conf.site
        printf '%s\n' "$@" | on "$node" tee -a /etc/slurm/slurm.conf >/dev/null
    done
    on ctl scontrol reconfigure
}
without_slurm_settings() {
    local node
    for node in ctl n1 n2 n3 n4; do on "$node" mv /etc/slurm/slurm.conf.site /etc/slurm/slurm.conf; done
    on ctl scontrol reconfigure
}

@test "the health check sets its node DOWN: saved, goes on elsewhere" {
    on ctl tee /shared/health >/dev/null <<'END'
#!/bin/sh
node=$(hostname -s)
[ ! -e /shared/sick-$node ] || { rm /shared/sick-$node; scontrol update nodename=$node state=down reason=sick; }
END
    on ctl chmod +x /shared/health
    with_slurm_setting HealthCheckProgram=/shared/health HealthCheckInterval=1
    begin_way -p nograce
    on ctl touch /shared/sick-n1 /shared/sick-n2
    eventually 30 job_is_not_running "$ours"
    eventually 30 job_is_not_running "$plain"
    on ctl scontrol update nodename=n1,n2 state=resume 2>/dev/null || true # Slurm did
    way_ends "health check sets the node DOWN" "starts over" "goes on"
    without_slurm_settings
    on ctl rm /shared/health
}
job_waits_for_its_node() { [ "$(on ctl squeue -h -j "$1" -o %t)" = CF ]; }
job_is_not_running() { ! job_is "$1" RUNNING; }

@test "its node is powered down: what Slurm does before it is gone suffices" {
    with_slurm_setting SuspendProgram=/bin/true ResumeProgram=/bin/true SuspendTimeout=5 ResumeTimeout=30 \
        'PartitionName=saving Nodes=n4 SuspendTime=86400'
    begin_way -p nograce
    on ctl scontrol update nodename=n1,n2 state=power_down_force
    eventually 30 job_is_not_running "$ours"
    eventually 30 job_is_not_running "$plain"
    # Slurm powers them up again for the jobs; what boots says so (-b).
    for job in "$ours" "$plain"; do eventually 60 job_waits_for_its_node "$job"; done
    for node in n1 n2; do
        on "$node" pkill slurmd || true # reconfigured, it may have gone
        on "$node" slurmd -b
    done
    way_ends "scontrol power_down_force" "starts over" "goes on"
    without_slurm_settings
}

@test "a reservation of its node begins: the job goes on" {
    begin_way -p nograce
    on ctl scontrol create reservation reservationname=work starttime=now duration=10 nodes=n1,n2 users=root flags=ignore_jobs,maint
    way_ends "reservation begins" "goes on" "goes on"
    on ctl scontrol delete reservation=work
}
