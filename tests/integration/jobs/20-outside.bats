# What lies outside of a job's own network: servers, and Slurm's commands in the script.

load ../lib

teardown_file() { on ctl pkill -f answer.py || true; }

serve() {
    on ctl pkill -f answer.py || true
    on ctl python3 /src/tests/integration/jobs/answer.py 7100 >/dev/null 2>&1 3>&- &
    eventually 10 on ctl nc -z localhost 7100
}

setup() { alice rm -f go; }

# answered FILE LEAST: the job has ended and got each answer once, and at least so many.
answered() {
    wait_for_end "$job"
    diff <(seq "$(on ctl sh -c "wc -l <'/shared/alice/$1'")" | sed '$s/.*/all/') <(on ctl cat "/shared/alice/$1")
    [ "$(on ctl sh -c "wc -l <'/shared/alice/$1'")" -gt "$2" ]
}

@test "a connection to a server outlives a save, and ends at once with a move" {
    serve
    job=$(alice sbatch --parsable -p nograce -o asks.out -e asks.err --checkpoint --wrap 'python3 -u /src/tests/integration/jobs/ask.py ctl 7100 150')
    wait_for_text /shared/alice/asks.out 10
    alice holdfast save "$job"
    wait_for_text /shared/alice/asks.out 40
    assert_equal "$(on ctl cat /shared/alice/asks.err)" ""
    move "$job"
    wait_for_text /shared/alice/asks.out 80
    move "$job"
    alice touch go
    answered asks.out 150
    assert_equal "$(on ctl cat /shared/alice/asks.err)" "$(printf 'lost: ConnectionResetError\nlost: ConnectionResetError')"
}

@test "a connection that is half closed ends with a move, too" {
    serve
    job=$(alice sbatch --parsable -p nograce -o half.out -e half.err --checkpoint --wrap 'python3 -u /src/tests/integration/jobs/ask.py ctl 7100 80 half')
    wait_for_text /shared/alice/half.out 10
    move "$job"
    alice touch go
    answered half.out 80
    assert_contains "$(on ctl cat /shared/alice/half.err)" "lost: Connection"
}

@test "Slurm's commands work in the script, before and after a move" {
    alice tee slurm.sh >/dev/null <<'END'
#!/bin/bash
ask() {
    squeue -h -j "$SLURM_JOB_ID" -o %t
    scontrol show job "$SLURM_JOB_ID" | grep -o "JobId=$SLURM_JOB_ID"
    sinfo -h -p nograce -o %R
    sacct -X -n -j "$SLURM_JOB_ID" -o JobID%20 | tr -d ' '
    chained=$(sbatch --parsable -p nograce -o /dev/null -d afterok:$SLURM_JOB_ID --wrap true)
    squeue -h -j "$chained" -o %t
    scancel "$chained"
}
ask
echo asked
until [ -e moved ]; do sleep 0.2; done
ask
END
    job=$(alice sbatch --parsable -p nograce -o slurm.out --checkpoint slurm.sh)
    wait_for_text /shared/alice/slurm.out asked
    move "$job"
    alice touch moved
    wait_for_end "$job"
    answers=$(printf 'R\nJobId=%s\nnograce\n%s\nPD' "$job" "$job")
    assert_equal "$(on ctl cat /shared/alice/slurm.out)" "$(printf '%s\nasked\n%s' "$answers" "$answers")"
}

@test "a script requeues its own job: saved, goes on behind the command" {
    # shellcheck disable=SC2016 # the script's
    job=$(alice sbatch --parsable -p nograce -o requeue.out --checkpoint --wrap 'echo before; scontrol requeue $SLURM_JOB_ID; sleep 3; echo after')
    wait_for_end "$job"
    assert_equal "$(job_field "$job" Restarts)" 1
    assert_equal "$(on ctl cat /shared/alice/requeue.out)" "$(printf 'before\nafter')"
}

@test "a script cancels its own job" {
    # shellcheck disable=SC2016
    job=$(alice sbatch --parsable -p nograce -o cancel.out --checkpoint --wrap 'scancel $SLURM_JOB_ID; sleep 60; echo not me')
    wait_for_end "$job"
    job_is "$job" CANCELLED
    run ! file_has /shared/alice/cancel.out "not me"
}

@test "node.closed_networks: refused at once; node.outside_network: none: there is nothing" {
    serve
    # shellcheck disable=SC2016
    probe='python3 -c "import socket; socket.create_connection((\"ctl\", 7100), timeout=10)" 2>&1 | tail -n 1'
    network=$(on ctl ip -4 -o addr show eth0 | awk '{ print $4 }' | sed 's|\.[0-9]*/24|.0/24|')
    for setting in "closed_networks: $network" "outside_network: none"; do
        for node in n1 n2 n3 n4; do on "$node" sed -i "/^node:/a\\  $setting" /etc/holdfast/holdfast.yaml; done
        job=$(alice sbatch --parsable -p nograce -o "${setting%%:*}.out" --checkpoint --wrap "$probe")
        wait_for_end "$job"
        for node in n1 n2 n3 n4; do on "$node" sed -i "/${setting%%:*}/d" /etc/holdfast/holdfast.yaml; done
    done
    assert_contains "$(on ctl cat /shared/alice/closed_networks.out)" "OSError: [Errno 113]"
    assert_contains "$(on ctl cat /shared/alice/outside_network.out)" "name resolution"
}
