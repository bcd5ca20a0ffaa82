# Memory is stored while the job runs, and the freeze has little left to do.

load ../lib

setup_file() {
    idle_cluster
    with_checkpoint_setting 'precopy_cpu: 10'
}
teardown_file() { without_checkpoint_settings; }

# A job with MIB of incompressible memory of which it changes little; prints its id when it runs.
busy() {
    local mib=$1
    shift
    submit --checkpoint --checkpoint-dir=/shared/alice/ckpt --mem=2G -o busy.out "$@" <<END
#!/bin/bash
exec python3 -c '
import hashlib, os, time
memory = bytearray(os.urandom($mib << 20))
print("ready", flush=True)
rounds = 0
while not os.path.exists("done"):
    memory[:4096] = b"x" * 4096
    rounds += 1
    time.sleep(0.05)
print("rounds", rounds > 10, hashlib.sha256(memory[4096:]).hexdigest(), flush=True)
'
END
}

event() { details "$1" ".events[] | select(.name == \"$2\") | .detail"; }

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
    assert_contains "$(cat /shared/alice/busy.out)" 'rounds True'
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
    assert_equal "$(on ctl find "/shared/alice/ckpt/$job" -name '*.pack*')" ''
    alice holdfast save "$job"
    assert_equal "$(committed "$job")" 1
    alice touch done
    wait_for_state "$job" COMPLETED
}

@test "without the setting there is none" {
    without_checkpoint_settings
    job=$(busy 50)
    wait_for_text /shared/alice/busy.out ready
    eventually 30 details_are "$job" .state running
    alice holdfast save "$job"
    assert_equal "$(event "$job" precopied)" ''
    with_checkpoint_setting 'precopy_cpu: 10'
    alice touch done
    wait_for_state "$job" COMPLETED
}
