# What a job's user says to sbatch, and in the environment, must not reach root's processes.

load ../lib

# Leaves a file, named for the user, wherever it is loaded.
setup_file() {
    idle_cluster
    alice sh -c 'cat >trap.c; cc -shared -fPIC -o trap.so trap.c; install -d -m 777 caught' <<'END'
#include <stdio.h>
#include <unistd.h>
__attribute__((constructor)) static void note(void) {
  char path[64];
  snprintf(path, sizeof path, "/shared/alice/caught/%u", geteuid());
  fclose(fopen(path, "a"));
}
END
}

@test "variables of a job's user are not those of its warden" {
    job=$(alice env LD_PRELOAD=/shared/alice/trap.so CRIU_LIBS_DIR=/shared/alice \
        HOLDFAST_CONFIG=/shared/alice/holdfast.yaml HOLDFAST_UID=0 HOLDFAST_GID=0 HOLDFAST_GROUPS=0 HOLDFAST_POD=3 \
        HOLDFAST_SUBMITTED=../../etc HOLDFAST_CLUSTER=other SLURMD_NODENAME=n4 SLURM_CLUSTER_NAME=other \
        STORAGE_EMULATOR_HOST=http://evil https_proxy=http://evil GOOGLE_APPLICATION_CREDENTIALS=/etc/shadow \
        sbatch --parsable --export=ALL --checkpoint --checkpoint-dir=/shared/alice/ckpt -o job.out \
        --wrap 'until [ -e go ]; do sleep 0.1; done; id -u; echo $STORAGE_EMULATOR_HOST')
    eventually 60 details_are "$job" .state running
    alice holdfast save "$job"
    node=$(job_field "$job" NodeList)
    for process in $(on "$node" pgrep -u root 'holdfast-(warden|pod-i)'); do
        assert_run 1 on "$node" grep -qa 'evil\|trap' "/proc/$process/environ" "/proc/$process/maps"
    done
    move "$job"
    alice touch go
    wait_for_state "$job" COMPLETED
    assert_equal "$(on ctl cat /shared/alice/job.out)" $'1000\nhttp://evil'
    assert_equal "$(on ctl ls /shared/alice/caught)" 1000
    assert_equal "$(on ctl sh -c 'ls -d /shared/alice/ckpt/*')" "$(on ctl sh -c "ls -d $(ckpt "$job")")"
}

@test "a job that is submitted from one that was started again starts" {
    job=$(alice env SLURM_RESTART_COUNT=7 sbatch --parsable --checkpoint -o again.out --wrap 'echo ${SLURM_RESTART_COUNT-never}')
    wait_for_state "$job" COMPLETED
    assert_equal "$(on ctl cat /shared/alice/again.out)" never
}

@test "names and comments of a job are text, whatever is in them" {
    local escape=$'\e[2J\nnext'
    job=$(alice sbatch --parsable --job-name="name$escape" --comment="comment$escape" --checkpoint \
        --checkpoint-dir=/shared/alice/ckpt -o text.out --wrap 'sleep 100')
    eventually 60 details_are "$job" .state running
    alice holdfast save "$job"
    assert_run 0 alice holdfast show "$job"
    [[ $output != *$'\e'* ]]
    alice scancel "$job"
    wait_for_end "$job"
    assert_run 1 on ctl grep -c $'\e' /var/log/holdfast/coordinator.log
    for option in dir files; do
        assert_run ! alice sbatch "--checkpoint-$option=/shared/alice/a$escape" --checkpoint --wrap true
        assert_run ! alice sbatch "--checkpoint-$option=/$(printf 'x%.0s' {1..100000})" --checkpoint --wrap true
    done
}

@test "a process that calls itself by control characters writes no line of a message" {
    alice tee named.py >/dev/null <<'END'
import ctypes
libc = ctypes.CDLL(None)
libc.prctl(15, b"x\n  next: \x1b[2J", 0, 0, 0)
libc.syscall(323, 1)  # userfaultfd of what the process does itself, which is refused by name
print("READY", flush=True)
libc.sleep(100)
END
    job=$(submit --checkpoint --checkpoint-dir=/shared/alice/ckpt -o named.out --wrap 'exec python3 named.py')
    wait_for_text /shared/alice/named.out READY
    assert_run ! alice holdfast save "$job"
    [[ $output != *$'\e'* ]]
    assert_contains "$output" '(x\n  next: \x1b[2J) uses userfaultfd(2)'
    alice scancel "$job"
}

@test "another user's checkpoints are not restored, wherever they lie" {
    on ctl rm -rf /shared/bob
    on ctl install -d -o bob -g bob /shared/bob
    secret=$(as bob ctl env -C /shared/bob sbatch --parsable --checkpoint --checkpoint-dir=/shared/bob/ckpt -o secret.out --wrap 'sleep 100')
    eventually 60 running_for_bob "$secret"
    as bob ctl holdfast save "$secret"
    as bob ctl scancel "$secret"
    on ctl sh -c "rm -rf /shared/alice/ckpt; cp -a /shared/bob/ckpt /shared/alice/ckpt; chown -R alice:alice /shared/alice/ckpt"
    for which in "$secret" "$secret:1"; do
        job=$(submit --checkpoint --checkpoint-dir=/shared/alice/ckpt --restore-from="$which" -o stolen.out --wrap 'true')
        wait_for_end "$job"
        assert_run ! job_is "$job" COMPLETED
    done
    assert_contains "$(details "$job" .last_error)" 'of uid 1001, put in the place of'
}
running_for_bob() { [ "$(as bob ctl holdfast show "$1" --json | jq -r .state)" = running ]; }

@test "what a pod's processes have open is theirs" {
    job=$(submit --checkpoint -N2 -o open.out --wrap 'for i in $(seq 600); do echo $i; sleep 0.1; done')
    eventually 60 details_are "$job" .state running
    move "$job"
    for node in $(on ctl scontrol show hostnames "$(job_field "$job" NodeList)"); do
        # Files, pipes and sockets of the job alone: no namespace, no directory, nothing of the warden's.
        opened=$(on "$node" sh -c 'for p in $(pgrep -u alice "pod-root|holdfast-outsi|sleep|bash"); do readlink /proc/$p/fd/*; done' | sort -u)
        assert_run 1 grep -E '(mnt|net|pid|uts|user):|/var/log|/var/spool|/proc|/etc|pidfd|userfault|\.key' <<<"$opened"
        assert_equal "$(on "$node" sh -c 'for p in $(pgrep -u alice "pod-root|holdfast-outsi|sleep|bash"); do grep CapEff /proc/$p/status; done' | sort -u)" $'CapEff:\t0000000000000000'
        # PID 1 of the pod is root's, and has kept no right.
        assert_equal "$(on "$node" sh -c 'grep CapEff "/proc/$(pgrep -u root holdfast-pod-i)/status"')" $'CapEff:\t0000000000000000'
    done
    alice scancel "$job"
}
