# Whatever fails, the running job is not harmed and the newest committed checkpoint restores.

load ../lib

# A job that counts into its output, slow enough to be hurt; prints its id.
counter() { submit --checkpoint --checkpoint-dir=/shared/alice/ckpt -o count.out "$@" <<<$'#!/bin/bash\nfor i in {1..300}; do echo $i; sleep 0.1; done'; }
assert_counted() { assert_equal "$(cat /shared/alice/count.out)" "$(seq 300)"; }

setup() { alice rm -rf ckpt count.out go fill; }

@test "a dump that CRIU refuses leaves the job running, and says why in CRIU's words" {
    on ctl tee /shared/alice/fault.py >/dev/null <<'END'
import ctypes, fcntl, struct, time
fd = ctypes.CDLL(None).syscall(323, 1) # userfaultfd(UFFD_USER_MODE_ONLY)
fcntl.ioctl(fd, 0xc018aa3f, struct.pack("3Q", 0xaa, 0, 0)) # UFFDIO_API
print("ready", flush=True)
time.sleep(15)
print("unharmed", flush=True)
END
    job=$(submit --checkpoint -o fault.out --wrap 'python3 fault.py')
    wait_for_text /shared/alice/fault.out ready
    assert_run 1 alice holdfast save "$job"
    assert_contains "$output" 'Error'
    assert_contains "$(details "$job" .last_error)" 'criu'
    assert_contains "$(on ctl scontrol show job "$job")" 'holdfast'
    wait_for_text /shared/alice/fault.out unharmed
    wait_for_state "$job" COMPLETED
}

@test "the coordinator may be killed and started again while the job runs" {
    job=$(counter)
    wait_for_text /shared/alice/count.out 5
    on ctl /src/lab/lib/coordinator kill
    on ctl /src/lab/lib/coordinator start
    eventually 30 details_are "$job" .state running
    move "$job"
    wait_for_state "$job" COMPLETED
    assert_counted
}

@test "the coordinator may be killed in the middle of a checkpoint" {
    for delay in 0.05 0.15 0.3 0.6; do
        job=$(counter)
        wait_for_text /shared/alice/count.out 5
        alice holdfast save "$job" &
        sleep "$delay"
        on ctl /src/lab/lib/coordinator kill
        on ctl /src/lab/lib/coordinator start
        wait $! || true
        eventually 60 details_are "$job" .state running
        move "$job"
        wait_for_state "$job" COMPLETED
        assert_counted
    done
}

@test "CRIU killed in the middle of a dump: the job goes on" {
    job=$(counter)
    wait_for_text /shared/alice/count.out 5
    node=$(job_field "$job" NodeList)
    # It may be there for a tenth of a second only, and be missed.
    on "$node" timeout 60 sh -c "until pkill -KILL -f '[c]riu .*swrk'; do :; done" &
    save_fails() { ! alice holdfast save "$job"; }
    eventually 60 save_fails
    wait $!
    eventually 30 details_are "$job" .state running
    wait_for_state "$job" COMPLETED
    assert_counted
}

@test "a warden killed: the job is brought back from its last checkpoint" {
    job=$(submit --checkpoint --checkpoint-dir=/shared/alice/ckpt -o killed.out <<<$'#!/bin/bash\nuntil [ -e go ]; do sleep 0.1; done\necho went on')
    wait_for_state "$job" RUNNING
    eventually 20 details_are "$job" .state running
    alice holdfast save "$job"
    on "$(job_field "$job" NodeList)" pkill -KILL -x holdfast-warden
    wait_for_restart "$job" 1 120
    alice touch go
    wait_for_state "$job" COMPLETED
    assert_equal "$(cat /shared/alice/killed.out)" 'went on'
    alice rm go
}

@test "a node lost: the job goes on from its last checkpoint, elsewhere" {
    job=$(submit --checkpoint --checkpoint-dir=/shared/alice/ckpt -N2 -o lost.out <<<$'#!/bin/bash\nuntil [ -e go ]; do sleep 0.1; done\necho went on')
    wait_for_state "$job" RUNNING
    eventually 20 details_are "$job" .state running
    alice holdfast save "$job"
    lost=$(on ctl scontrol show hostnames "$(job_field "$job" NodeList)" | tail -n 1)
    /src/lab/lib/node-stop "$lost"
    wait_for_restart "$job" 1 180
    run ! grep -w "$lost" <<<"$(on ctl scontrol show hostnames "$(job_field "$job" NodeList)")"
    alice touch go
    wait_for_state "$job" COMPLETED
    assert_equal "$(cat /shared/alice/lost.out)" 'went on'
    alice rm go
    /src/lab/lib/node-start "$lost"
}

@test "an MPI job that loses a node goes on from its last checkpoint, although mpirun has failed" {
    for pause in 0 100; do # first the uninterrupted run
        option=--checkpoint=on
        [ $pause != 0 ] || option=--checkpoint=off
        job=$(alice env ROUNDS=150 PAUSE_MS=$pause sbatch --parsable $option -o "ring.$pause" /src/tests/integration/main/mpirun.sbatch)
        [ $pause != 0 ] || wait_for_end "$job"
    done
    wait_for_text /shared/alice/ring.100 round
    alice holdfast save "$job"
    lost=$(on ctl scontrol show hostnames "$(job_field "$job" NodeList)" | tail -n 1)
    /src/lab/lib/node-stop "$lost"
    wait_for_restart "$job" 1 180
    wait_for_state "$job" COMPLETED 120
    diff <(printed /shared/alice/ring.0) <(printed /shared/alice/ring.100)
    /src/lab/lib/node-start "$lost"
    /src/lab/lib/wait-idle 60
}

@test "a full directory: the checkpoint is given up, its debris removed, the job unharmed" {
    for node in n1 n2 n3 n4; do
        on $node sh -c 'mkdir -p /mnt/small && mount -t tmpfs -o size=1m,mode=1777 none /mnt/small'
    done
    job=$(submit --checkpoint --checkpoint-dir=/mnt/small -o full.out <<<$'#!/bin/bash\npython3 -c "
import os, time
x = os.urandom(30 << 20)
print(\'ready\', flush=True)
time.sleep(10)
print(\'unharmed\', flush=True)"')
    wait_for_text /shared/alice/full.out ready
    assert_run 1 alice holdfast save "$job"
    assert_contains "$output" 'No space left on device'
    assert_equal "$(on "$(job_field "$job" NodeList)" find /mnt/small -type f | wc -l)" 0
    wait_for_text /shared/alice/full.out unharmed
    wait_for_state "$job" COMPLETED
    for node in n1 n2 n3 n4; do on $node umount /mnt/small; done
}

@test "a job that has filled its memory is not saved, and not harmed for it" {
    job=$(submit --checkpoint --checkpoint-dir=/shared/alice/ckpt --mem=400M -o filled.out <<<$'#!/bin/bash\npython3 -c "
import os, time
while not os.path.exists(\'fill\'): time.sleep(0.1)
x = bytes([1]) * int(open(\'fill\').read())
print(\'filled\', flush=True)
while not os.path.exists(\'go\'): time.sleep(0.1)
print(\'unharmed\', x.count(1) == len(x), flush=True)"')
    wait_for_state "$job" RUNNING
    eventually 20 details_are "$job" .state running
    node=$(job_field "$job" NodeList)
    # 30 MiB less than what the limit leaves.
    used=$(on "$node" sh -c "find /sys/fs/cgroup -path '*/job_$job/memory.usage_in_bytes' -o -path '*/job_$job/memory.current' | xargs cat")
    alice sh -c "echo $(((400 - 30 << 20) - used)) >fill.new; mv fill.new fill"
    wait_for_text /shared/alice/filled.out filled
    assert_run 1 alice holdfast save "$job"
    assert_contains "$output" 'left of its memory limit'
    assert_contains "$output" 'ask for more with --mem'
    alice touch go
    wait_for_state "$job" COMPLETED
    assert_equal "$(tail -n 1 /shared/alice/filled.out)" 'unharmed True'
}

@test "a corrupted image is found, named, and the checkpoint before it is used" {
    job=$(submit --checkpoint --checkpoint-dir=/shared/alice/ckpt -o corrupt.out <<<$'#!/bin/bash\nuntil [ -e go ]; do sleep 0.1; done\necho went on')
    wait_for_state "$job" RUNNING
    eventually 20 details_are "$job" .state running
    alice holdfast save "$job"
    alice holdfast save "$job" --stop
    wait_for_state "$job" PENDING
    part=$(ls "$(ckpt "$job")"/parts/*2-0* | tail -n 1)
    alice python3 -c "f = open('$part', 'r+b'); f.seek(5000); b = f.read(1); f.seek(5000); f.write(bytes([b[0] ^ 1]))"
    alice holdfast resume "$job"
    eventually 60 restarted_from "$job" 1
    assert_contains "$(details "$job" .last_error)" "$(basename "$part")"
    alice touch go
    wait_for_state "$job" COMPLETED
    alice rm go
}
restarted_from() { job_is "$1" RUNNING && details_are "$1" '"\(.state) \(.restored_from.checkpoint)"' "running $2"; }

@test "files changed since the checkpoint: the job is held and says which, nothing runs over them" {
    job=$(submit --checkpoint --checkpoint-rollback=off --checkpoint-dir=/shared/alice/ckpt -o changed.out <<<$'#!/bin/bash\nexec 7<>data\necho one >&7\nuntil [ -e go ]; do sleep 0.1; done\necho two >&7')
    wait_for_state "$job" RUNNING
    eventually 20 details_are "$job" .state running
    alice holdfast save "$job" --stop
    eventually 60 details_are "$job" .state held
    alice sh -c 'echo changed by hand >> data'
    alice holdfast resume "$job"
    eventually 60 details_are "$job" .state held
    assert_contains "$(details "$job" .last_error)" /shared/alice/data
    [[ $(job_field "$job" Reason) =~ (H|h)eld ]] # JobHeldUser, or job_requeued_in_held_state
    assert_equal "$(cat /shared/alice/data)" $'one\nchanged by hand'
    alice scancel "$job"
}
