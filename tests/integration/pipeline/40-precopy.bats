# Memory is stored while the job runs, and the freeze has little left to do.

load ../lib

teardown_file() { without_checkpoint_settings; }

setup() { alice rm -rf done ckpt busy.out; }

# A job with MIB of incompressible memory, of which it changes one page each round. It prints each
# round, and at the end whether all of memory is what it should be. Prints its id.
busy() {
    submit --checkpoint --checkpoint-dir=/shared/alice/ckpt --mem=2G -o busy.out <<END
#!/bin/bash
exec python3 -c '
import os, random, time
def block(i): return random.Random(i).randbytes(1 << 20)
memory = bytearray()
for i in range($1): memory += block(i)
print("ready", flush=True)
expected, rounds = {}, 0
while not os.path.exists("done"):
    page = random.Random(-rounds).randrange(len(memory) >> 12) << 12
    expected[page] = rounds.to_bytes(8, "big")
    memory[page:page + 8] = expected[page]
    print("round", rounds, flush=True)
    rounds += 1
    time.sleep(0.05)
pages = sum(memory[page:page + 8] != written for page, written in expected.items())
for page in expected: memory[page:page + 8] = block(page >> 20)[page & 0xfffff:(page & 0xfffff) + 8]
blocks = sum(memory[i << 20:i + 1 << 20] != block(i) for i in range($1))
print("wrong pages", pages, "wrong blocks", blocks, flush=True)
'
END
}

# Every round came once, and memory was what it should have been.
unharmed() {
    assert_equal "$(tail -n 1 /shared/alice/busy.out)" 'wrong pages 0 wrong blocks 0'
    awk '/^round/ { if ($2 != next_round++) exit 1 } END { exit next_round == 0 }' /shared/alice/busy.out
}

event() { details "$1" ".events[] | select(.name == \"$2\") | .detail"; }

# bats test_tags=slice
@test "a saved job has stored its memory ahead of the freeze" {
    job=$(busy 300)
    wait_for_text /shared/alice/busy.out ready
    eventually 30 details_are "$job" .state running
    alice holdfast save "$job"
    assert_contains "$(event "$job" precopied)" 'of CPU time'
    saved=$(event "$job" saved)
    echo "$saved"
    [[ $saved =~ ([0-9.]+)\ MiB\ stored,\ ([0-9.]+)\ MiB\ of\ it\ ahead ]]
    # What the freeze had left is less than a tenth.
    awk -v all="${BASH_REMATCH[1]}" -v ahead="${BASH_REMATCH[2]}" 'BEGIN { exit !(ahead > 290 && all - ahead < 30) }'
    alice touch done
    wait_for_state "$job" COMPLETED
}

@test "what was stored ahead restores, byte for byte" {
    job=$(busy 200)
    wait_for_text /shared/alice/busy.out ready
    eventually 30 details_are "$job" .state running
    alice holdfast migrate "$job"
    wait_for_restart "$job" 1
    assert_contains "$(event "$job" precopied)" 'of CPU time'
    alice touch done
    wait_for_state "$job" COMPLETED
    unharmed
}

@test "a preemption ends it at once" {
    for node in ctl n1 n2 n3 n4; do
        on "$node" cp /etc/holdfast/holdfast.yaml /etc/holdfast/holdfast.yaml.before
        on "$node" sed -i '/^checkpoint:/a\  precopy_bandwidth: 1MiB' /etc/holdfast/holdfast.yaml
    done
    job=$(busy 300)
    wait_for_text /shared/alice/busy.out ready
    eventually 30 details_are "$job" .state running
    alice holdfast save "$job" &
    saver=$!
    eventually 30 details_are "$job" .state precopying
    sleep 2
    begin=$SECONDS
    urgent=$(preempt "$(job_field "$job" NodeList)")
    wait_for_restart "$job" 1
    wait "$saver" || true
    for node in ctl n1 n2 n3 n4; do
        on "$node" mv /etc/holdfast/holdfast.yaml.before /etc/holdfast/holdfast.yaml
    done
    # At 1 MiB a second all of it would have taken five minutes.
    [ $((SECONDS - begin)) -lt 60 ]
    assert_contains "$(event "$job" precopied)" 'not all'
    assert_equal "$(committed "$job")" 1
    alice scancel "$urgent"
    alice touch done
    wait_for_state "$job" COMPLETED
    unharmed
}

@test "an abort leaves nothing behind" {
    job=$(busy 100)
    wait_for_text /shared/alice/busy.out ready
    eventually 30 details_are "$job" .state running
    node=$(job_field "$job" NodeList)
    # The freeze fails: there is no CRIU any more.
    on "$node" mv /usr/sbin/criu /usr/sbin/criu.away
    assert_run ! alice holdfast save "$job"
    on "$node" mv /usr/sbin/criu.away /usr/sbin/criu
    assert_contains "$(event "$job" precopied)" 'of CPU time'
    eventually 30 details_are "$job" .state running
    assert_equal "$(on ctl find "$(ckpt "$job")" -name '*.pack*')" ''
    alice holdfast save "$job"
    assert_equal "$(committed "$job")" 1
    alice touch done
    wait_for_state "$job" COMPLETED
}

@test "without the setting there is none" {
    with_checkpoint_setting 'precopy_cpu: 0'
    job=$(busy 50)
    wait_for_text /shared/alice/busy.out ready
    eventually 30 details_are "$job" .state running
    alice holdfast save "$job"
    assert_equal "$(event "$job" precopied)" ''
    without_checkpoint_settings
    alice touch done
    wait_for_state "$job" COMPLETED
}
