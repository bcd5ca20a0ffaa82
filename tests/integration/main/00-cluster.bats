# The lab is a Slurm cluster: what all other tests stand on.

load ../lib

@test "four nodes are idle in all partitions" {
    assert_equal "$(on ctl sinfo --noheader --format='%P %D %T')" $'nograce 4 idle\ncancel 4 idle\ncancelgrace 4 idle\nspot* 4 idle\nurgent 4 idle'
}

@test "an ordinary user's step runs on every node" {
    assert_equal "$(alice srun -N4 hostname | sort | paste -sd' ')" 'n1 n2 n3 n4'
}

@test "a step's processes are in its cgroup, bound to its CPUs and limited to its memory" {
    output=$(alice srun -w n1 -n1 --mem=100M bash -c 'grep -E ":(freezer|memory|cpuset):" /proc/self/cgroup; taskset -cp $$
        cat /sys/fs/cgroup/memory$(sed -n "s/.*:memory:\(.*\)\/task_.*/\1/p" /proc/self/cgroup)/memory.limit_in_bytes')
    assert_equal "$(grep -cE '/job_[0-9]+/step_0' <<<"$output")" 3
    assert_contains "$output" "affinity list: 0"
    assert_contains "$output" $((100 << 20))
}

@test "an urgent job preempts a spot job, which is requeued and runs again" {
    spot=$(submit -N2 --ntasks-per-node=2 --exclusive -w n1,n2 --open-mode=append -o spot.out <<'END'
#!/bin/bash
echo "start ${SLURM_RESTART_COUNT:-0}"
srun bash -c 'echo running; exec sleep 1000'
END
    )
    wait_for_text /shared/alice/spot.out running
    alice srun -p urgent -N2 -w n1,n2 --exclusive true
    assert_equal "$(job_field "$spot" Restarts)" 1
    on ctl scontrol update "jobid=$spot" starttime=now
    wait_for_text /shared/alice/spot.out "start 1"
    alice scancel "$spot"
    wait_for_end "$spot"
}

@test "during its grace a preempted job's step has been told, its batch script not" {
    spot=$(submit -N1 --exclusive -w n3 -o grace.out <<'END'
#!/bin/bash
trap 'echo batch told' TERM
srun bash -c 'trap "echo step told" TERM; echo running; while :; do sleep 0.1; done' &
wait
END
    )
    wait_for_text /shared/alice/grace.out running
    urgent=$(submit -p urgent -N1 --exclusive -w n3 --wrap true)
    wait_for_text /shared/alice/grace.out "step told" 15
    assert_run 1 on ctl grep 'batch told' /shared/alice/grace.out
    job_is "$spot" RUNNING
    alice scancel "$spot"
    wait_for_end "$urgent"
}

@test "a node that dies goes down, and comes back when it boots" {
    /src/lab/lib/node-stop n4
    eventually 60 on ctl sh -c 'sinfo --noheader --nodes=n4 --partition=spot --format=%T | grep -q down'
    /src/lab/lib/node-start n4
    /src/lab/lib/wait-idle 30
    assert_equal "$(alice srun -w n4 hostname)" n4
}

@test "accounting has finished jobs, and sstat the running ones' processes" {
    job=$(submit -n1 -o acct.out --wrap 'srun bash -c "echo running; exec sleep 1000"')
    wait_for_text /shared/alice/acct.out running
    eventually 20 sh -c "/src/lab/lib/node ctl sstat --noheader -j $job.0 --format=maxrss | grep -q K"
    alice scancel "$job"
    wait_for_end "$job"
    eventually 20 sh -c "/src/lab/lib/node ctl sacct --noheader -j $job.0 --format=state | grep -q CANCELLED"
}

@test "the controller comes back with its jobs after losing power" {
    job=$(submit -n1 --wrap 'sleep 1000')
    wait_for_state "$job" RUNNING
    # slurmctld writes its state after a while; a mark in it says that it has.
    sleep 1.5
    on ctl scontrol update "jobid=$job" comment=written-down
    eventually 20 on ctl grep -q written-down /var/lib/slurm/slurmctld/job_state
    /src/lab/lib/node-stop ctl
    /src/lab/lib/node-start ctl
    sleep 3
    wait_for_state "$job" RUNNING 30
    assert_equal "$(on ctl sacctmgr --noheader show user holdfast format=adminlevel | tr -d ' ')" Operator
    alice scancel "$job"
    wait_for_end "$job"
}

@test "in /squash root has no rights, and its user on all nodes has" {
    as alice n1 sh -c 'echo hello >/squash/greeting'
    assert_equal "$(as alice n2 cat /squash/greeting)" hello
    assert_run 1 on n1 cat /squash/greeting
    assert_contains "$output" "Permission denied"
    assert_run 1 on n1 touch /squash/root-was-here
    as alice n2 rm /squash/greeting
}
