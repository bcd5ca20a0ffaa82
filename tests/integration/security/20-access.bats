# A hostile user on every node.

load ../lib

# saved_job: a job of alice's that is saved and waits for `holdfast resume`; prints its id.
saved_job() {
    local job
    job=$(submit --checkpoint --checkpoint-dir=/shared/alice/ckpt -o saved.out <<<$'#!/bin/bash\nuntil [ -e go ]; do sleep 0.1; done\nid -u')
    wait_for_state "$job" RUNNING
    eventually 20 details_are "$job" .state running
    alice holdfast save "$job" --stop >&2
    wait_for_state "$job" PENDING
    echo "$job"
}

@test "nobody else reads the images" {
    job=$(saved_job)
    assert_run 2 as bob ctl ls "$(ckpt "$job")"
    assert_equal "$(on ctl find "$(ckpt "$job")" -perm /077)" ''
    alice scancel "$job"
}

@test "an edited image, part or manifest is refused, and the job held" {
    for what in packs parts manifest; do
        job=$(saved_job)
        file=$(on ctl find "$(ckpt "$job")" -type f -path "*$what*" | sort | head -n 1)
        alice python3 -c "f = open('$file', 'r+b'); f.seek(700); b = f.read(1); f.seek(700); f.write(bytes([b[0] ^ 1]))"
        alice holdfast resume "$job"
        eventually 90 details_are "$job" .state held
        assert_contains "$(details "$job" .last_error)" "$(basename "$file")"
        alice scancel "$job"
    done
}

@test "another job's checkpoint put in place of one's own is refused" {
    mine=$(saved_job)
    other=$(saved_job)
    place=$(ckpt "$mine")
    alice sh -c "rm -r $place && cp -a $(ckpt "$other") $place"
    alice holdfast resume "$mine"
    eventually 90 details_are "$mine" .state held
    alice scancel "$mine" "$other"
}

@test "users see and command their own jobs only" {
    job=$(submit --checkpoint -o own.out --wrap 'sleep 100')
    wait_for_state "$job" RUNNING
    eventually 20 details_are "$job" .state running
    assert_run 3 as bob ctl holdfast show "$job"
    assert_run 3 as bob ctl holdfast save "$job" --stop
    assert_equal "$(as bob ctl holdfast list --json | jq '.jobs | length')" 0
    job_is "$job" RUNNING
    alice scancel "$job"
}

@test "the REST API wants a credential, and each credential once" {
    assert_equal "$(on ctl curl -s -o /dev/null -w '%{http_code}' http://localhost:6829/v1/jobs)" 401
    assert_equal "$(as bob ctl curl -s -o /dev/null -w '%{http_code}' -H "Authorization: Munge $(as bob ctl munge -n)" http://localhost:6829/v1/jobs)" 401
}

@test "thousands of silent connections to both ports keep nobody out" {
    job=$(submit -p nograce --checkpoint -o crowd.out --wrap 'for i in $(seq 600); do echo $i; sleep 0.1; done')
    eventually 60 details_are "$job" .state running
    as bob n3 timeout 100 python3 /src/tests/integration/security/crowd.py ctl 6828 6829 >"$BATS_TEST_TMPDIR/crowd" 2>&1 3>&- &
    crowd=$!
    eventually 60 grep -q there "$BATS_TEST_TMPDIR/crowd"
    for _ in 1 2 3 4 5; do
        details_are "$job" .state running
        alice holdfast list >/dev/null
    done
    move "$job"
    kill -0 "$crowd" # it was there all the time
    on n3 pkill -f crowd.py
    alice scancel "$job"
}

@test "a packet that an ordinary user sends to a job's network does not arrive" {
    job=$(submit --checkpoint -N2 -o inject.out <<<$'#!/bin/bash\necho ready; sleep 100')
    wait_for_text /shared/alice/inject.out ready
    target=$(on ctl scontrol show hostnames "$(job_field "$job" NodeList)" | head -n 1)
    before=$(on "$target" nft -j list ruleset | jq '[.nftables[].rule? | select(. != null) | .expr[]?.counter?.packets | select(. != null)] | add // 0')
    as bob n4 python3 -c "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(5): s.sendto(b'\x08' + bytes(60), ('$target', 829))"
    assert_contains "$(on "$target" nft list ruleset)" 829
    assert_run 1 as bob n4 python3 -c "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('', 829))"
    alice scancel "$job"
}

@test "a directory where root has no rights works" {
    # What root squashing does: the directory is the user's alone, and root's word counts for nothing.
    on ctl sh -c 'install -d -o alice -g alice -m 700 /shared/alice/private'
    job=$(submit --checkpoint --checkpoint-dir=/shared/alice/private -o private.out <<<$'#!/bin/bash\nfor i in {1..30}; do echo $i; sleep 0.2; done')
    wait_for_text /shared/alice/private.out 3
    alice holdfast save "$job"
    assert_equal "$(on ctl find /shared/alice/private ! -user alice)" ''
    wait_for_state "$job" COMPLETED
}
