# A job that needs longer than its time limit goes on with a fresh one.

load ../lib

renewed() { details_are "$1" .time_limit.renewals "$2"; }

# Slurm's limits are whole minutes.
@test "the example: more than two limits' work, unattended, and the output is that of one run" {
    plain=$(alice env PAUSE=0 sbatch --parsable --checkpoint=off -p urgent -t 5 -o chain.plain "$examples/chain/chain.sbatch")
    job=$(alice sbatch --parsable -o chain.out "$examples/chain/chain.sbatch")
    wait_for_state "$job" COMPLETED 300
    job_is "$plain" COMPLETED
    diff <(on ctl cat /shared/alice/chain.plain) <(on ctl cat /shared/alice/chain.out)
    [ "$(details "$job" .time_limit.renewals)" -ge 2 ]
    assert_equal "$(details "$job" '[.moves[].reason] | unique[]')" time-limit
    assert_equal "$(job_field "$job" TimeLimit)" 00:01:00
    assert_contains "$(alice holdfast show "$job")" "time limit  renewed"
}

@test "an MPI job whose limit is lowered while it runs" {
    plain=$(alice env ROUNDS=700 PAUSE_MS=0 sbatch --parsable --checkpoint=off -p urgent -o ring.plain "$examples/ring/ring.sbatch")
    wait_for_end "$plain" 180
    job=$(alice env ROUNDS=700 PAUSE_MS=100 sbatch --parsable --checkpoint-timelimit=requeue -o ring.out "$examples/ring/ring.sbatch")
    wait_for_text /shared/alice/ring.out round 120
    alice scontrol update jobid="$job" timelimit=1
    wait_for_state "$job" COMPLETED 240
    renewed "$job" 1
    assert_equal "$(grep '^digest' /shared/alice/ring.out)" "$(grep '^digest' /shared/alice/ring.plain)"
}

@test "after MAX renewals it ends as without, and only then gets its --signal" {
    job=$(alice sbatch --parsable -t 2 --signal=B:USR2@10 --checkpoint --checkpoint-timelimit=requeue,1 -o last.out \
        --wrap 'trap "echo signalled" USR2; while :; do sleep 0.1; done')
    eventually 120 renewed "$job" 1
    wait_for_restart "$job" 1
    assert_equal "$(on ctl cat /shared/alice/last.out)" ""
    assert_contains "$(alice holdfast show "$job")" "renewed 1 of 1 times"
    wait_for_state "$job" TIMEOUT 180
    eventually 20 details_are "$job" .state ended
    assert_equal "$(on ctl grep -v CANCELLED /shared/alice/last.out)" signalled
    assert_equal "$(job_field "$job" Restarts)" 1
    # For --restore-from.
    assert_equal "$(details "$job" '.checkpoints[-1].state')" committed
}
