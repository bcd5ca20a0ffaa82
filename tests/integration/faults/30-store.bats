# A store that hangs keeps no job frozen for longer than checkpoint.timeout, nor its end from being
# seen. /squash is alice's on every node, by way of a server (bindfs) that can be stopped.

load ../lib

setup() {
    with_checkpoint_setting 'timeout: 10s'
    alice rm -f numbers go
    as alice ctl rm -rf /squash/ckpt
}
teardown() {
    hang CONT n1
    on ctl scancel --user=alice --quiet || true
    eventually 60 no_jobs
    without_checkpoint_settings
}

# hang STOP|CONT NODE: so does its file server.
hang() { on "$2" pkill "-$1" -x bindfs; }

# The longest that the job has stood still, in seconds.
longest_pause() { on ctl awk '$1 == "paused" && $2 > most { most = $2 } END { print int(most) }' /shared/alice/numbers; }

pausing() {
    alice sbatch --parsable -w n1 --checkpoint --checkpoint-dir=/squash/ckpt -o numbers "$@" <<'END'
#!/usr/bin/python3
import os, time
last = time.monotonic()
print("ready", flush=True)
while not os.path.exists("/shared/alice/go"):
    time.sleep(0.05)
    now = time.monotonic()
    if now - last > 1:
        print("paused", now - last, flush=True)
    last = now
print("whole", flush=True)
END
}

# bats test_tags=slice
@test "it hangs before a save: the job stands still for no longer than the site says, and goes on" {
    job=$(pausing)
    wait_for_text /shared/alice/numbers ready
    eventually 30 details_are "$job" .state running
    hang STOP n1
    assert_run ! alice holdfast save "$job"
    assert_contains "$(details "$job" .last_error)" 'answer'
    [ "$(longest_pause)" -le 15 ]
    hang CONT n1
    eventually 60 alice holdfast save "$job"
    alice touch go
    wait_for_state "$job" COMPLETED
    wait_for_text /shared/alice/numbers whole
}

@test "it hangs in the middle of a save: the same" {
    job=$(alice sbatch --parsable -w n1 --mem=1G --checkpoint --checkpoint-dir=/squash/ckpt -o numbers <<'END'
#!/usr/bin/python3
import os, time
memory = os.urandom(300000000)
last = time.monotonic()
print("ready", flush=True)
while not os.path.exists("/shared/alice/go"):
    time.sleep(0.05)
    now = time.monotonic()
    if now - last > 1:
        print("paused", now - last, flush=True)
    last = now
print("whole", len(memory), flush=True)
END
    )
    wait_for_text /shared/alice/numbers ready
    eventually 30 details_are "$job" .state running
    alice holdfast save "$job" >/dev/null 2>&1 &
    saving=$!
    eventually 30 details_are "$job" .state freezing
    hang STOP n1
    ! wait "$saving"
    eventually 60 details_are "$job" .state running
    [ "$(longest_pause)" -le 15 ]
    hang CONT n1
    eventually 60 alice holdfast save "$job"
    alice touch go
    wait_for_state "$job" COMPLETED
    wait_for_text /shared/alice/numbers whole
}

@test "it hangs when the job ends: the end is seen" {
    job=$(pausing)
    wait_for_text /shared/alice/numbers ready
    eventually 30 details_are "$job" .state running
    alice holdfast save "$job"
    hang STOP n1
    alice touch go
    wait_for_state "$job" COMPLETED 200
}
