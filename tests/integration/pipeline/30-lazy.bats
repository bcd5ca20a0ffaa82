# Restored jobs run while their memory comes.

load ../lib

teardown_file() { without_checkpoint_settings; }

setup() {
    alice sh -c 'rm -rf /shared/alice/* /shared/alice/.holdfast*'
    on ctl tee /shared/alice/worker.py >/dev/null <<'END'
# worker.py NUMBER ROUNDS PAUSE: changes one page of its 300 MiB each round, all of them once it finds
# a file "rewrite" (which its digest does not tell), and prints a digest of the pages at the end.
import hashlib, os, random, sys, time
number, rounds, pause = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
size = 300 << 20
start = random.Random(number)
data = bytearray()
for i in range(size >> 20): data += start.randbytes(1 << 20)
chosen = random.Random(-number)
for i in range(rounds):
    page = chosen.randrange(size >> 12) << 12
    data[page:page + 8] = hashlib.sha256(data[page:page + 4096] + bytes([i % 256])).digest()[:8]
    if os.path.exists("rewrite"):
        for page in range(0, size, 4096):
            data[page + 4095] ^= 1
        os.mkdir("rewritten%d" % number)
        while os.path.exists("rewrite"): time.sleep(0.1)
        for page in range(0, size, 4096):
            data[page + 4095] ^= 1
    print("round", i, flush=True)
    time.sleep(pause)
print("digest", hashlib.sha256(data).hexdigest(), flush=True)
END
}

# workers ROUNDS PAUSE [SBATCH-OPTION...]: a job of three processes; prints its id.
workers() {
    local rounds=$1 pause=$2
    shift 2
    # The lab's shared disk lies in memory, so what a job saves counts against its limit.
    submit --mem=4G "$@" <<END
#!/bin/bash
for n in 1 2 3; do python3 worker.py \$n $rounds $pause >out.\$n & done
wait
grep -h digest out.?
END
}

# expected ROUNDS: what they print when nothing happens to them.
expected() {
    local job
    job=$(workers "$1" 0 -o plain --checkpoint=off -p urgent)
    wait_for_end "$job"
    grep digest /shared/alice/plain
}

# started ROUNDS [SBATCH-OPTION...]: a job that is checkpointed, and at work.
started() {
    local rounds=$1 job n
    shift
    alice sh -c 'rm -f out.*'
    job=$(workers "$rounds" 0.2 -o result --checkpoint --checkpoint-dir=/shared/alice/ckpt "$@")
    for n in 1 2 3; do wait_for_text "/shared/alice/out.$n" 'round 3'; done
    eventually 30 details_are "$job" .state running
    echo "$job"
}

# at JOB NAME: when the newest event of that name was, unix time in ns; 0: never.
at() { details "$1" "[.events[] | select(.name == \"$2\") | .unix_ns] | max // 0"; }
has_event() { [ "$(at "$1" "$2")" != 0 ]; }

# ended_well JOB EXPECTED
ended_well() {
    wait_for_state "$1" COMPLETED 180
    assert_equal "$(grep digest /shared/alice/result)" "$2"
}

# bats test_tags=slice
@test "a job runs again before its memory is there" {
    digests=$(expected 150)
    job=$(started 150)
    move "$job"
    eventually 30 has_event "$job" pages-in
    [ "$(at "$job" pages-in)" -gt "$(at "$job" running)" ]
    ended_well "$job" "$digests"
}

@test "moved again and again while memory is still coming" {
    digests=$(expected 250)
    job=$(started 250)
    for i in 1 2 3 4; do
        alice holdfast migrate "$job"
        wait_for_restart "$job" "$i"
    done
    ended_well "$job" "$digests"
}

@test "the node is lost while memory is still coming" {
    digests=$(expected 200)
    job=$(started 200)
    alice holdfast migrate "$job"
    wait_for_restart "$job" 1
    lost=$(job_field "$job" NodeList)
    /src/lab/lib/node-stop "$lost"
    wait_for_restart "$job" 2 180
    /src/lab/lib/node-start "$lost"
    ended_well "$job" "$digests"
}

@test "what brings the memory is killed: the job is restored once more" {
    digests=$(expected 200)
    job=$(started 200)
    alice holdfast migrate "$job"
    wait_for_restart "$job" 1
    on "$(job_field "$job" NodeList)" pkill -KILL -x holdfast-warden
    wait_for_restart "$job" 2 120
    ended_well "$job" "$digests"
}

@test "damage that is found while the job runs: it goes back to the checkpoint before" {
    digests=$(expected 150)
    job=$(started 150)
    alice holdfast save "$job"
    alice touch rewrite
    for n in 1 2 3; do eventually 60 test -d "/shared/alice/rewritten$n"; done
    alice holdfast save "$job" --stop
    wait_for_state "$job" PENDING
    rm /shared/alice/rewrite
    for pack in "$(ckpt "$job")"/packs/000002-*; do
        dd if=/dev/zero of="$pack" bs=64K count=1 seek=$(($(stat -c %s "$pack") / 131072)) conv=notrunc
    done
    alice holdfast resume "$job"
    ended_well "$job" "$digests"
    assert_contains "$(alice holdfast show "$job")" 'is not what was written there'
}

@test "with restore: eager a job runs when all its memory is there" {
    with_checkpoint_setting 'restore: eager'
    job=$(started 60)
    move "$job"
    has_event "$job" pages-in
    [ "$(at "$job" pages-in)" -lt "$(at "$job" running)" ]
    wait_for_state "$job" COMPLETED 180
    without_checkpoint_settings
    assert_equal "$(grep -c digest /shared/alice/result)" 3
}
