# What has not been written since the last save is not read again, and what is restored is right.

load ../lib

setup_file() {
    idle_cluster
    on ctl cc -O1 -o /shared/alice/writes /src/tests/integration/pipeline/writes.c -lpthread
}
teardown_file() { tracking verify; }

setup() {
    alice rm -rf done hurry ckpt memory.out plain ours
    tracking auto
}

# tracking MODE: of the jobs that start from now on.
tracking() {
    for node in n1 n2 n3 n4; do
        on "$node" sed -i "s/write_tracking: .*/write_tracking: \"$1\"/" /etc/holdfast/holdfast.yaml
    done
}

# A job with two processes of 150 MiB of which they go on changing single pages. Each counts its
# rounds, and says at the end whether all of its memory is what it should be. Prints its id.
memory_job() {
    submit --checkpoint --checkpoint-dir=/shared/alice/ckpt --mem=2G -o memory.out <<'END'
#!/bin/bash
program='
import os, random, sys, time
def block(i): return random.Random(sys.argv[1] + str(i)).randbytes(1 << 20)
memory = bytearray()
for i in range(150): memory += block(i)
print("ready", flush=True)
expected, rounds = {}, 0
while not os.path.exists("done"):
    page = random.Random(-rounds).randrange(len(memory) >> 16) << 12
    expected[page] = rounds.to_bytes(8, "big")
    memory[page:page + 8] = expected[page]
    rounds += 1
    time.sleep(0.02)
pages = sum(memory[page:page + 8] != written for page, written in expected.items())
for page in expected: memory[page:page + 8] = block(page >> 20)[page & 0xfffff:(page & 0xfffff) + 8]
blocks = sum(memory[i << 20:i + 1 << 20] != block(i) for i in range(150))
print("wrong pages", pages, "wrong blocks", blocks, flush=True)
'
python3 -c "$program" one & python3 -c "$program" two & wait
END
}

# Of the newest save: what of its memory was not written since the one before, in MiB.
unwritten() {
    details "$1" '[.events[] | select(.name == "memory") | .detail] | last' |
        sed -n 's/.*, \([0-9]*\)[0-9.]* MiB of it not written since$/\1/p'
}

start_job() {
    job=$(memory_job)
    eventually 60 both_are_ready
    eventually 30 details_are "$job" .state running
}
both_are_ready() { [ "$(grep -c ready /shared/alice/memory.out)" -eq 2 ]; }
unharmed() { assert_equal "$(grep -c 'wrong pages 0 wrong blocks 0' /shared/alice/memory.out)" 2; }

# bats test_tags=slice
@test "saves after the first read what was written, and restore the rest too" {
    start_job
    alice holdfast save "$job"
    assert_equal "$(unwritten "$job")" ''
    sleep 1
    alice holdfast save "$job"
    echo "not written: $(unwritten "$job") MiB"
    [ "$(unwritten "$job")" -gt 250 ]
    alice holdfast save "$job"
    [ "$(unwritten "$job")" -gt 250 ]
    move "$job"
    # Of processes that were restored nothing is known at first.
    alice holdfast save "$job"
    assert_equal "$(unwritten "$job")" ''
    alice holdfast save "$job"
    [ "$(unwritten "$job")" -gt 250 ]
    move "$job"
    alice touch done
    wait_for_state "$job" COMPLETED
    unharmed
}

@test "with write_tracking off all is read each time" {
    tracking off
    start_job
    alice holdfast save "$job"
    alice holdfast save "$job"
    assert_equal "$(unwritten "$job")" ''
    alice touch done
    wait_for_state "$job" COMPLETED
    unharmed
}

# writes DIRECTORY PAUSE_MS SBATCH-OPTION...: a job with a process for each kind of `writes`. Prints
# its id.
writes() {
    local directory=$1 pause_ms=$2
    shift 2
    alice mkdir "$directory"
    submit -n 1 --mem=2G -D "/shared/alice/$directory" -o out "$@" <<END
#!/bin/bash
for kind in \$(../writes list); do ../writes "\$kind" 500 $pause_ms & done
wait
END
}
told() { on ctl sort "/shared/alice/$1/out"; }

# What a program, the kernel or another process writes, while it is saved again and again. Each save
# reads everything, too, and fails if that is not what the kernel told.
@test "memory that is written in every way comes back as it was" {
    tracking verify
    plain=$(writes plain 0 -p nograce)
    wait_for_state "$plain" COMPLETED 300
    job=$(writes ours 200 --checkpoint --checkpoint-dir=/shared/alice/ckpt)
    eventually 60 details_are "$job" .state running
    for round in 1 2 3; do
        for save in 1 2 3 4; do
            alice holdfast save "$job"
            echo "round $round, save $save, not written: $(unwritten "$job") MiB"
        done
        [ "$(unwritten "$job")" -gt 100 ]
        [ "$round" = 3 ] || move "$job"
    done
    alice touch ours/hurry
    wait_for_state "$job" COMPLETED 300
    assert_contains "$(told plain)" 'threads: 0 pages wrong'
    diff <(told plain) <(told ours)
}

@test "a process that has a userfaultfd is refused, and nothing happens to it" {
    job=$(submit --checkpoint --checkpoint-dir=/shared/alice/ckpt -o memory.out <<'END'
#!/bin/bash
exec python3 -c '
import ctypes, os, time
memory = bytearray(os.urandom(1 << 20) * 32)
libc = ctypes.CDLL(None, use_errno=True)
made = libc.syscall(323, os.O_CLOEXEC | 1)
before, copy = os.listdir("/proc/self/fd"), bytes(memory)
print("ready", made >= 0, flush=True)
while not os.path.exists("done"): time.sleep(0.1)
print("same", os.listdir("/proc/self/fd") == before, memory == copy, flush=True)
'
END
    )
    wait_for_text /shared/alice/memory.out 'ready True'
    eventually 30 details_are "$job" .state running
    for attempt in 1 2; do
        assert_run ! alice holdfast save "$job"
        assert_contains "$output" userfaultfd
    done
    alice touch done
    wait_for_state "$job" COMPLETED
    wait_for_text /shared/alice/memory.out 'same True True'
}

# Else none of the tests that run with it would say anything.
@test "verify fails a save of which the kernel has told something wrong" {
    tracking verify
    job=$(submit --checkpoint --checkpoint-dir=/shared/alice/ckpt -o memory.out <<'END'
#!/bin/bash
exec python3 -c '
import ctypes, os, time
memory = bytearray(os.urandom(1 << 20) * 32)
print("at", ctypes.addressof(ctypes.c_char.from_buffer(memory)) + (16 << 20), flush=True)
while not os.path.exists("done"): time.sleep(0.1)
' forged
END
    )
    wait_for_text /shared/alice/memory.out at
    eventually 30 details_are "$job" .state running
    alice holdfast save "$job"
    node=$(job_field "$job" NodeList)
    on "$node" python3 /src/tests/integration/pipeline/forge.py \
        "$(on "$node" pgrep -f 'print.*forged')" "$(on ctl sed -n 's/^at //p' /shared/alice/memory.out)"
    assert_run ! alice holdfast save "$job"
    assert_contains "$output" 'written without a trace'
    # Of a save that came to nothing nothing is believed.
    alice holdfast save "$job"
    alice touch done
    wait_for_state "$job" COMPLETED
}
