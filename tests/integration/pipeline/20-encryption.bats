# Checkpoints at rest, encrypted with the site's key.

load ../lib

key_file=/etc/holdfast/encryption.key

setup_file() {
    idle_cluster
    for node in n1 n2 n3 n4; do
        on "$node" sed -i "/^checkpoint:/a \\  encryption_key_file: $key_file" /etc/holdfast/holdfast.yaml
    done
    give_keys 1
}
teardown_file() {
    for node in n1 n2 n3 n4; do
        on "$node" sed -i '/encryption_key_file/d' /etc/holdfast/holdfast.yaml
        on "$node" rm -f "$key_file"
    done
}

# give_keys DIGIT...: on all nodes the file has these keys, of one digit each.
give_keys() {
    local node digit
    for node in n1 n2 n3 n4; do
        for digit; do printf "%064d\n" 0 | tr 0 "$digit"; done |
            on "$node" sh -c "rm -f $key_file; umask 377; cat >$key_file"
    done
}

setup() {
    give_keys 1
    alice sh -c 'rm -rf /shared/alice/* /shared/alice/.holdfast*'
}

# A job with a secret in its memory and in a file it has open, which goes on when it finds `go`.
keeper() {
    submit --checkpoint --checkpoint-dir=/shared/alice/ckpt -o keeper.out "$@" <<'END'
#!/bin/bash
exec python3 -c '
import os, time
secret = b"the secret of this job " * 1000 + os.urandom(5_000_000)
file = open("data", "w+b", buffering=0)
file.write(secret)
print("ready", flush=True)
while not os.path.exists("go"): time.sleep(0.1)
file.seek(0)
print("the same" if file.read() == secret else "lost", flush=True)
'
END
}
stopped() {
    wait_for_text /shared/alice/keeper.out ready
    eventually 30 details_are "$1" .state running
    alice holdfast save "$1"
    alice holdfast save "$1" --stop
    wait_for_state "$1" PENDING
}
ends_well() {
    wait_for_restart "$1" "${2:-1}"
    alice touch go
    wait_for_state "$1" COMPLETED
    assert_contains "$(cat /shared/alice/keeper.out)" 'the same'
}

# bats test_tags=slice
@test "a job is saved and restored, and nothing of it can be read in between" {
    job=$(keeper)
    stopped "$job"
    assert_run 1 grep -r 'secret of this job' "$(ckpt "$job")"
    assert_run 1 grep -r 'python3' "$(ckpt "$job")"
    for part in "$(ckpt "$job")"/parts/*; do assert_contains "$(alice h5ls "$part")" sealed; done
    # The second one stored what changed, no more.
    [ "$(details "$job" '.checkpoints[1].stored_bytes * 4 < .checkpoints[0].stored_bytes')" = true ]
    assert_run 0 on n1 holdfast verify "$job"
    assert_contains "$output" 'checkpoint 2: good'
    assert_run 0 alice holdfast verify "$job"
    assert_contains "$output" 'not checked: its contents, which are encrypted'
    alice holdfast prune "$job" --keep=1
    alice holdfast resume "$job"
    ends_well "$job"
}

@test "without its key, or with another, the job is held and told which key it wants; then it goes on" {
    job=$(keeper)
    stopped "$job"
    give_keys 2
    alice holdfast resume "$job"
    eventually 60 details_are "$job" .state held
    reason=$(details "$job" .last_error)
    assert_contains "$reason" 'encrypted with key '
    assert_contains "$reason" "but $key_file has "
    assert_contains "$reason" 'add that key to it'
    give_keys 2 1
    restarts=$(job_field "$job" Restarts)
    alice holdfast resume "$job"
    ends_well "$job" "$restarts"
}

@test "keys are changed under a running job" {
    job=$(keeper --checkpoint-keep=1)
    wait_for_text /shared/alice/keeper.out ready
    eventually 30 details_are "$job" .state running
    alice holdfast save "$job"
    name() { h5dump -a /key "$1" | sed -n 's/.*(0): "\(.*\)".*/\1/p'; }
    old=$(name "$(ckpt "$job")/parts/000001-0.h5")
    give_keys 2 1
    # A job takes the keys that are there when it starts.
    alice holdfast migrate "$job"
    wait_for_restart "$job" 1
    alice holdfast save "$job"
    eventually 10 test ! -e "$(ckpt "$job")/parts/000002-0.h5"
    new=$(name "$(ckpt "$job")/parts/000003-0.h5")
    [ -n "$old" ] && [ -n "$new" ] && [ "$old" != "$new" ]
    give_keys 2
    alice holdfast migrate "$job"
    ends_well "$job" 2
}

@test "a tampered pack is refused" {
    job=$(keeper)
    stopped "$job"
    for pack in "$(ckpt "$job")"/packs/*; do
        alice python3 -c '
import sys
with open(sys.argv[1], "r+b") as pack:
    pack.seek(1000)
    byte = pack.read(1)
    pack.seek(1000)
    pack.write(bytes([byte[0] ^ 1]))' "$pack"
    done
    assert_run 1 on n1 holdfast verify "$job"
    assert_contains "$output" 'not what was written there'
    alice holdfast resume "$job"
    eventually 60 details_are "$job" .state held
    assert_contains "$(details "$job" .last_error)" 'not what was written there'
    alice scancel "$job"
}

@test "checkpoints of before encryption was switched on still restore" {
    for node in n1 n2 n3 n4; do on "$node" sed -i 's/^  encryption_key_file/  #encryption_key_file/' /etc/holdfast/holdfast.yaml; done
    job=$(keeper)
    stopped "$job"
    grep -rq 'secret of this job' "$(ckpt "$job")"
    for node in n1 n2 n3 n4; do on "$node" sed -i 's/^  #encryption_key_file/  encryption_key_file/' /etc/holdfast/holdfast.yaml; done
    alice holdfast resume "$job"
    wait_for_restart "$job" 1
    alice holdfast save "$job"
    alice holdfast prune "$job" --keep=1
    # The one it was restored from stays while it runs.
    assert_run 1 grep -r 'secret of this job' "$(ckpt "$job")/packs" --include='000003-*'
    alice touch go
    wait_for_state "$job" COMPLETED
}
