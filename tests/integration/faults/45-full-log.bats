# Nodes whose log directory is full. There CRIU works, and images lie there until a restore has read them.

load ../lib

setup() {
    alice rm -rf ckpt numbers go
    for node in n1 n2 n3 n4; do on "$node" sh -c "mkdir -p /var/log/holdfast; mount -t tmpfs -o size=4M,mode=755 tmpfs /var/log/holdfast"; done
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
@test "full when a job starts, and when it is saved: it runs and is saved as ever" {
    fill_up
    job=$(counting)
    eventually 60 details_are "$job" .state running
    goes_on
    alice holdfast save "$job"
    goes_on
    make_room
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
    eventually 120 details_are "$job" .state held
    assert_contains "$(details "$job" .last_error)" 'No space left on device'
    make_room
    alice holdfast resume "$job"
    eventually 90 details_are "$job" .state running
    ends_well "$job"
}
