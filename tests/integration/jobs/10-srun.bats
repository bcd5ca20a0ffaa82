#!/usr/bin/env bats
# srun in a checkpointed job does what Slurm's does.

load ../lib
load compare

# bats test_tags=slice
@test "a step of four tasks on two nodes goes on after a move" {
    local job
    on ctl install -d -o alice -g alice /shared/alice/{off,on}
    for way in off on; do on ctl sh -c "cat >/shared/alice/$way/job.sh" <"$BATS_TEST_DIRNAME/srun/counting.sh"; done
    job=$(as alice ctl env -C /shared/alice/off sbatch --parsable --checkpoint=off -N2 --ntasks-per-node=2 --output=out job.sh)
    wait_for_text /shared/alice/off/counted 'running 3'
    as alice ctl touch /shared/alice/off/go
    wait_for_end "$job"
    job=$(as alice ctl env -C /shared/alice/on sbatch --parsable --checkpoint -N2 --ntasks-per-node=2 --output=out job.sh)
    wait_for_text /shared/alice/on/counted ': 5 '
    move "$job"
    wait_for_text /shared/alice/on/counted 'running 3'
    move "$job"
    as alice ctl touch /shared/alice/on/go
    wait_for_end "$job"
    assert_equal "$(job_field "$job" JobState)" COMPLETED
    assert_equal "$(in_order on)" "$(in_order off)"
}
# Nodes tell how their tasks ended in any order.
in_order() { on ctl sh -c "grep '^srun: error' /shared/alice/$1/out | sort; grep -v '^srun: error' /shared/alice/$1/out"; }


@test "tasks are dealt out as by Slurm" { both_ways layout.sh; }

@test "tasks see what Slurm's see" { both_ways environment.sh; }

@test "steps end as Slurm's do, and say the same" { both_ways ends.sh; }

@test "input and output go where Slurm's go" { both_ways streams.sh; }

@test "sbcast reaches every node, and says the same" { both_ways sbcast.sh; }

@test "many steps run, wait and overlap as Slurm's do" { both_ways farm.sh; }

@test "what cannot be done is an error that names the option" {
    local job
    job=$(submit --checkpoint -N1 -n1 -o out --wrap 'for option in --pty --x11 --het-group=0 --gpus=1 --prolog=x -Zn1; do
        srun $option true && echo done; done; srun true : true; srun --mpi=wrong true; true')
    wait_for_end "$job"
    output=$(on ctl cat /shared/alice/out)
    for name in --pty --x11 --het-group --gpus --prolog --no-allocate 'several components' "MPI type 'wrong'"; do
        assert_contains "$output" "$name"
    done
    [[ $output != *done* ]]
}

@test "a srun or a step's daemon that is killed ends its tasks, and the job goes on" {
    local job
    job=$(submit --checkpoint -N2 --ntasks-per-node=1 -o out --wrap '
        srun -n 2 sleep 1234 & p=$!
        until [ "$(srun --overlap -N 2 -n 2 pgrep -x sleep | wc -l)" = 2 ]; do sleep 0.2; done
        kill -KILL $p; wait $p; echo "srun: $?"
        until [ -z "$(srun --overlap -N 2 -n 2 pgrep -x sleep)" ]; do :; done
        srun -n 2 -W 0 sleep 1234 & p=$!
        until task=$(pgrep -x sleep) && daemon=$(ps -o ppid= "$task"); do :; done
        kill -KILL $daemon
        wait $p; [ $? -ne 0 ] && echo "the step has failed"
        srun -n 2 echo "the job goes on"')
    wait_for_end "$job" 60
    output=$(on ctl cat /shared/alice/out)
    assert_contains "$output" 'srun: 137'
    assert_contains "$output" 'the step has failed'
    assert_contains "$output" 'the job goes on'
}
