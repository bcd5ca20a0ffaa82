# Connections to daemons of the node by unix sockets, by which sssd and nscd tell users' names.

load ../lib

teardown_file() { for node in n1 n2 n3 n4; do on "$node" pkill -f node_daemon.py || true; done; }

# bats test_tags=slice
@test "a connection to a daemon of the node outlives a save, and ends with a move" {
    socket=/run/node-daemon/socket
    for node in n1 n2 n3 n4; do
        on "$node" python3 /src/tests/integration/programs/node_daemon.py "$socket" >/dev/null 2>&1 3>&- &
        eventually 20 on "$node" test -S "$socket"
    done
    job=$(alice sbatch --parsable -o asks.out -e asks.err --checkpoint --wrap "python3 /src/tests/integration/programs/node_client.py $socket 250")
    wait_for_text /shared/alice/asks.out 10
    alice holdfast save "$job"
    wait_for_text /shared/alice/asks.out 40
    assert_equal "$(on ctl cat /shared/alice/asks.err)" ""
    for turn in 1 2; do
        alice holdfast migrate "$job"
        wait_for_restart "$job" "$turn"
    done
    wait_for_end "$job"
    diff <(seq 0 249) <(on ctl cat /shared/alice/asks.out)
    assert_equal "$(on ctl grep -c '^lost' /shared/alice/asks.err)" 2
}

# Each question is a connection of its own, so at any moment one is under way that was not there a moment before.
@test "a program that asks munged all the time is saved every time" {
    job=$(alice sbatch --parsable -o munge.out -e munge.err --checkpoint --wrap "python3 /src/tests/integration/programs/asks_munge.py 1000000")
    wait_for_text /shared/alice/munge.out 100
    for save in $(seq 20); do
        alice holdfast save "$job"
    done
    assert_equal "$(on ctl cat /shared/alice/munge.err)" ""
    alice holdfast migrate "$job"
    wait_for_restart "$job" 1
    last=$(on ctl tail -n 1 /shared/alice/munge.out)
    wait_for_text /shared/alice/munge.out "$((last + 300))"
    alice scancel "$job"
}
