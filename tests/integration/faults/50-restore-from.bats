# --restore-from of what is not there, or is another's, fails as early as it can be known.

load ../lib

refused() { # TEXT OPTION...
    local text=$1
    shift
    assert_run ! alice sbatch "$@" --wrap true
    assert_contains "$output" "$text"
    assert_equal "$(on ctl squeue --noheader)" ''
}

# bats test_tags=slice
@test "at sbatch, if the directory is named and can be looked into" {
    alice mkdir -p ckpt
    refused 'job 4711 has no checkpoint in /shared/alice/ckpt' --checkpoint-dir=/shared/alice/ckpt --restore-from=4711
    job=$(submit --checkpoint --checkpoint-dir=/shared/alice/ckpt -o source.out <<<$'#!/bin/bash\nuntil [ -e go ]; do sleep 0.1; done')
    eventually 60 details_are "$job" .state running
    alice holdfast save "$job" --stop
    alice scancel "$job"
    wait_for_end "$job"
    refused "job $job has no checkpoint 9" --checkpoint-dir=/shared/alice/ckpt --restore-from="$job:9"
    on ctl install -d -o bob -g bob -m 700 /shared/alice/ckpt/4712
    refused 'are not yours' --checkpoint-dir=/shared/alice/ckpt --restore-from=4712
    on ctl rm -r /shared/alice/ckpt/4712
    restored=$(submit --checkpoint-dir=/shared/alice/ckpt --restore-from="$job" -o restored.out <<<$'#!/bin/bash\nfalse')
    eventually 60 details_are "$restored" .state running
    alice touch go
    wait_for_state "$restored" COMPLETED
}

@test "at its start otherwise: it ends at once, and says why" {
    job=$(submit --restore-from=4711 -o missing.out <<<$'#!/bin/bash\ntrue')
    wait_for_end "$job"
    job_is "$job" FAILED
    assert_contains "$(cat /shared/alice/missing.out)" 'job 4711 has no checkpoint'
}
