# What has not been written since the last save is not read again, and what is restored is right.

load ../lib

setup_file() {
    idle_cluster
    each_node sed -i 's/write_tracking: verify/write_tracking: auto/' /etc/holdfast/holdfast.yaml
}
teardown_file() { each_node sed -i 's/write_tracking: .*/write_tracking: verify/' /etc/holdfast/holdfast.yaml; }

setup() { alice rm -rf done ckpt memory.out; }

each_node() { for node in n1 n2 n3 n4; do on "$node" "$@"; done; }

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
    each_node sed -i 's/write_tracking: auto/write_tracking: "off"/' /etc/holdfast/holdfast.yaml
    start_job
    alice holdfast save "$job"
    alice holdfast save "$job"
    assert_equal "$(unwritten "$job")" ''
    alice touch done
    wait_for_state "$job" COMPLETED
    unharmed
}
