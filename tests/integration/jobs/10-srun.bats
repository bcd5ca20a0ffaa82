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
    assert_equal "$(on ctl cat /shared/alice/on/out)" "$(on ctl cat /shared/alice/off/out)"
}
