# Nodes whose log directory is full. There CRIU works, and the warden keeps what it needs of a pod.

load ../lib

setup() {
    alice rm -rf ckpt numbers go
    for node in n1 n2 n3 n4; do on "$node" mount -t tmpfs -o size=4M,mode=755 tmpfs /var/log/holdfast; done
}
teardown() {
    on ctl scancel --user=alice --quiet || true
    eventually 60 no_jobs
    for node in n1 n2 n3 n4; do on "$node" umount -l /var/log/holdfast; done
}
fill_up() { for node in n1 n2 n3 n4; do on "$node" sh -c 'cat /dev/zero >/var/log/holdfast/fill 2>/dev/null || true'; done; }
make_room() { for node in n1 n2 n3 n4; do on "$node" rm /var/log/holdfast/fill; done; }

counting() {
    submit --checkpoint --checkpoint-dir=/shared/alice/ckpt -o numbers "$@" <<'END'
#!/bin/bash
until [ -e go ]; do echo $((n++)); sleep 0.1; done
echo whole
END
}
# Every number once, in order, then the end.
whole() { on ctl awk '/^whole$/ { ends++; next } $1 != n++ || ends { exit bad = 1 } END { exit bad || ends != 1 || n < 10 }' /shared/alice/numbers; }
goes_on() {
    local said
    said=$(on ctl sh -c 'wc -l </shared/alice/numbers')
    eventually 20 says_more "$said"
}
says_more() { [ "$(on ctl sh -c 'wc -l </shared/alice/numbers')" -gt "$(($1 + 5))" ]; }
ends_well() {
    alice touch go
    wait_for_state "$1" COMPLETED
    whole
}

# bats test_tags=slice
@test "full when a job is saved: the save says so, and the job goes on and is saved once there is room" {
    job=$(counting)
    eventually 60 details_are "$job" .state running
    alice holdfast save "$job"
    fill_up
    assert_run ! alice holdfast save "$job"
    assert_contains "$(details "$job" .last_error)" 'No space left on device'
    goes_on
    make_room
    alice holdfast save "$job"
    move "$job"
    ends_well "$job"
}

@test "full when a job is restored: it is held, says so, and goes on once there is room" {
    job=$(counting)
    eventually 60 details_are "$job" .state running
    alice holdfast save "$job" --stop
    wait_for_state "$job" PENDING
    fill_up
    alice holdfast resume "$job"
    eventually 90 details_are "$job" .state held
    assert_contains "$(details "$job" .last_error)" 'No space left on device'
    make_room
    alice holdfast resume "$job"
    wait_for_restart "$job" 2
    ends_well "$job"
}

@test "full when a job starts: it runs as ever" {
    fill_up
    job=$(counting)
    eventually 60 details_are "$job" .state running
    goes_on
    make_room
    alice holdfast save "$job"
    ends_well "$job"
}
