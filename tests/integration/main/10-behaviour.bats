# A checkpointed job that nobody preempts behaves as the same job without Holdfast.

load ../lib

# both NAME [SBATCH-OPTION...] <SCRIPT: runs it without and with --checkpoint; leaves NAME.plain, NAME.held.
both() {
    local name=$1 script job mode
    shift
    script=$(cat)
    for mode in plain held; do
        local option=--checkpoint=on
        [ $mode = held ] || option=--checkpoint=off
        job=$(submit "$option" -w n1 -o "/shared/alice/$name.$mode" "$@" <<<"$script")
        wait_for_end "$job"
        job_field "$job" ExitCode >"$BATS_TEST_TMPDIR/$mode.exit"
    done
    assert_equal "$(cat "$BATS_TEST_TMPDIR/held.exit")" "$(cat "$BATS_TEST_TMPDIR/plain.exit")"
    diff "/shared/alice/$name.plain" "/shared/alice/$name.held"
}

@test "directory, user, limits, umask, arguments and priorities are the same" {
    both surroundings --chdir=/shared <<'END'
#!/bin/bash
pwd; id; umask; ulimit -a; echo "$# arguments"; nice; tty; ls -l /proc/self/fd | wc -l
END
}

@test "a soft limit and a umask set at submission arrive" {
    script='#!/bin/bash
umask; ulimit -Sn; ulimit -Sc'
    for mode in off on; do
        job=$(as alice ctl bash -c 'cd /shared/alice; umask 027; ulimit -Sn 512; ulimit -Sc 0
            sbatch --parsable --checkpoint='$mode' -w n1 -o limits.'$mode <<<"$script")
        wait_for_end "$job"
    done
    diff /shared/alice/limits.off /shared/alice/limits.on
    assert_contains "$(cat /shared/alice/limits.on)" 512
}

@test "the environment is the same but for what MPI needs" {
    both environment --export=ALL,COLOUR='deep  blue' <<'END'
#!/bin/bash
env | grep -v -E '^(SLURM_JOB_?ID|SLURM_(JOB_START|JOB_END|TASK_PID|TOPOLOGY|SCRIPT|CPU_BIND|STEP|SRUN)|HOLDFAST_|PRTE_|OMPI_|PMIX_|HYDRA_|MPIEXEC_|UCX_|I_MPI_|FI_|UV_|_=|SHLVL|PATH|TMPDIR|BASH_FUNC)' |
    sed -E 's/held|plain//; /SPANK/d' | sort
END
    assert_contains "$(cat /shared/alice/environment.held)" 'COLOUR=deep  blue'
}

@test "exit codes and deaths by signal are passed on" {
    both exit7 <<<$'#!/bin/bash\nexit 7'
    both killed <<<$'#!/bin/bash\nkill -USR1 $$'
}

@test "stdout and stderr go where sbatch was told, and an old file is truncated" {
    alice sh -c 'echo old > both.out; echo old > err.txt'
    job=$(submit --checkpoint -w n1 -o both.out -e err.txt <<<$'#!/bin/bash\necho out; echo err >&2')
    wait_for_end "$job"
    assert_equal "$(cat /shared/alice/both.out)" out
    assert_equal "$(cat /shared/alice/err.txt)" err
}

@test "CPUs of the allocation bind the job's processes" {
    both cpus -n1 -c2 <<<$'#!/bin/bash\nnproc; taskset -cp $$ | sed "s/.*: //"'
}

@test "the memory limit holds" {
    job=$(submit --checkpoint -w n1 --mem=200M -o memory.out <<<$'#!/bin/bash\npython3 -c "x = bytearray(600 << 20); print(len(x))" && echo survived')
    wait_for_end "$job"
    run ! grep survived /shared/alice/memory.out
}

@test "every process is in the job's cgroup" {
    job=$(submit --checkpoint -w n1 -o cgroup.out <<<$'#!/bin/bash\necho ready; exec sleep 987')
    wait_for_text /shared/alice/cgroup.out ready
    pid=$(on n1 pgrep -f 'sleep 98[7]')
    assert_contains "$(on n1 cat "/proc/$pid/cgroup")" "/job_$job/"
    assert_contains "$(on n1 sh -c 'cat /proc/'"$(on n1 pgrep -x holdfast-warden)"'/cgroup')" "/job_$job/"
    alice scancel "$job"
    wait_for_end "$job"
    eventually 10 on n1 sh -c '! pgrep -f "sleep 98[7]"'
    eventually 10 on n1 sh -c '! pgrep -x holdfast-warden'
}

@test "scancel ends it as it ends any job; a trap in the script runs" {
    job=$(submit --checkpoint -w n1 -o cancel.out <<<$'#!/bin/bash\ntrap "echo told; exit 3" TERM\necho ready\nwhile :; do sleep 0.1; done')
    wait_for_text /shared/alice/cancel.out ready
    alice scancel "$job"
    wait_for_state "$job" CANCELLED
    eventually 10 grep -q told /shared/alice/cancel.out
}

@test "scancel --batch --signal reaches the script" {
    job=$(submit --checkpoint -w n1 -o signal.out <<<$'#!/bin/bash\ntrap "echo got usr1" USR1\necho ready\nfor i in {1..300}; do sleep 0.1; done')
    wait_for_text /shared/alice/signal.out ready
    alice scancel --batch --signal=USR1 "$job"
    wait_for_text /shared/alice/signal.out 'got usr1' 10
    job_is "$job" RUNNING
    alice scancel "$job"
    wait_for_end "$job"
}

@test "scancel --signal and --full reach what they reach in any job" {
    for mode in off on; do
        job=$(submit "--checkpoint=$mode" -w n1 -o "full.$mode" <<<$'#!/bin/bash\ntrap "echo got usr1" USR1\ntrap "echo got usr2" USR2\necho ready\nfor i in {1..300}; do sleep 0.1; done')
        wait_for_text "/shared/alice/full.$mode" ready
        alice scancel --signal=USR1 "$job" # for steps: not for the script
        alice scancel --full --signal=USR2 "$job"
        wait_for_text "/shared/alice/full.$mode" 'got usr2' 10
        run ! grep 'got usr1' "/shared/alice/full.$mode"
        job_is "$job" RUNNING
        alice scancel "$job"
        wait_for_end "$job"
    done
}

@test "the time limit ends it as it ends any job" {
    for mode in off on; do
        jobs+=("$(submit "--checkpoint=$mode" -t 1 -o "limit.$mode" <<<$'#!/bin/bash\ntrap "echo told; exit 3" TERM\necho ready\nwhile :; do sleep 0.1; done')")
    done
    for job in "${jobs[@]}"; do wait_for_state "$job" TIMEOUT 180; done
    diff <(grep -E 'ready|told' /shared/alice/limit.off) <(grep -E 'ready|told' /shared/alice/limit.on)
    assert_contains "$(cat /shared/alice/limit.on)" told
    assert_equal "$(job_field "${jobs[1]}" ExitCode)" "$(job_field "${jobs[0]}" ExitCode)"
}

@test "sstat and sacct account for what runs in the pod" {
    job=$(submit --checkpoint -w n1 --mem=1G -o used.out <<<$'#!/bin/bash\npython3 -c "\nimport time\nx = bytes([1]) * (300 << 20)\nend = time.process_time() + 3\nwhile time.process_time() < end: pass\nprint(\'used\', flush=True)\ntime.sleep(1000)"')
    wait_for_text /shared/alice/used.out used
    # Of all steps, in bytes.
    running() { on ctl sstat --allsteps --noheader --noconvert --parsable2 --format=maxrss -j "$job" | sort -n | tail -n 1; }
    big() { [ "$(running)" -gt $((300 << 20)) ]; }
    eventually 60 big
    alice scancel "$job"
    wait_for_end "$job"
    accounted() { on ctl sacct --noheader --noconvert --parsable2 --format=maxrss,avecpu -j "$job" |
        awk -F'|' '{ split($2, t, ":"); if ($1 > 300 * 1048576 && t[1] * 3600 + t[2] * 60 + t[3] >= 2) found = 1 } END { exit !found }'; }
    eventually 20 accounted || { on ctl sacct --noconvert -j "$job" --format=jobid,maxrss,avecpu,totalcpu; return 1; }
}

@test "a job without the option has no warden and no pod" {
    job=$(submit -w n1 -o plain.out <<<$'#!/bin/bash\nreadlink /proc/self/ns/net /proc/1/ns/net; pgrep -x holdfast-warden; exit 0')
    wait_for_end "$job"
    assert_equal "$(job_field "$job" JobState)" COMPLETED
    assert_equal "$(sort -u /shared/alice/plain.out | wc -l)" 1
}

@test "pods have their own /tmp and /dev/shm" {
    on n1 sh -c 'echo node > /tmp/node-file'
    job=$(submit --checkpoint -w n1 -o tmp.out <<<$'#!/bin/bash\nls /tmp; echo x > /tmp/mine; echo y > /dev/shm/mine; hostname')
    wait_for_end "$job"
    assert_equal "$(cat /shared/alice/tmp.out)" n1
    run ! on n1 ls /tmp/mine /dev/shm/mine
}

@test "mpirun spreads over the job's nodes without being told" {
    job=$(submit --checkpoint -N2 --ntasks-per-node=2 -o spread.out <<<$'#!/bin/bash\nmpirun hostname')
    wait_for_end "$job"
    assert_equal "$(printed /shared/alice/spread.out | sort | uniq -c | awk '{ print $1 }' | paste -sd' ')" '2 2'
}

@test "MPICH's mpiexec does, too" {
    job=$(submit --checkpoint -N2 --ntasks-per-node=2 -o mpich.out <<<$'#!/bin/bash\nmpiexec.hydra hostname')
    wait_for_end "$job"
    assert_equal "$(sort /shared/alice/mpich.out | uniq -c | awk '{ print $1 }' | paste -sd' ')" '2 2'
}
