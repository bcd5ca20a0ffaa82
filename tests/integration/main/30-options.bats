# Options are checked when the job is submitted, and each refusal says what to write instead.

load ../lib

refused() { # TEXT OPTION...
    local text=$1
    shift
    assert_run ! alice sbatch "$@" --wrap true
    assert_contains "$output" "$text"
    assert_equal "$(on ctl squeue --noheader)" ''
}

@test "help of sbatch, salloc and srun shows the options" {
    for command in sbatch salloc srun; do
        output=$(alice $command --help)
        for option in --checkpoint --checkpoint-dir --checkpoint-keep --restore-from --checkpoint-files --checkpoint-rollback --checkpoint-fallback --checkpoint-timelimit; do
            assert_contains "$output" "$option"
        done
    done
}

@test "bad values are refused by name" {
    refused --checkpoint=soon --checkpoint=soon
    refused '10m' --checkpoint=soon
    refused --checkpoint-keep --checkpoint --checkpoint-keep=0
    refused --checkpoint-keep --checkpoint --checkpoint-keep=many
    refused --checkpoint-dir --checkpoint --checkpoint-dir=relative/path
    refused --checkpoint-dir --checkpoint --checkpoint-dir=ftp://host/x
    refused gs:// --checkpoint --checkpoint-dir=gs://
    refused --restore-from --checkpoint --restore-from=yesterday
    refused --checkpoint-files --checkpoint --checkpoint-files=work
    refused --checkpoint-rollback --checkpoint --checkpoint-rollback=some
    refused 'slurm or hold' --checkpoint --checkpoint-fallback=never
    refused 'requeue,MAX' --checkpoint --checkpoint-timelimit=requeue,0
}

@test "so are bad values in #SBATCH lines and in the environment" {
    assert_run ! alice sbatch <<<$'#!/bin/bash\n#SBATCH --checkpoint=soon\ntrue'
    assert_contains "$output" --checkpoint
    assert_run ! alice env HOLDFAST_CHECKPOINT=soon sbatch --wrap true
    assert_contains "$output" HOLDFAST_CHECKPOINT
}

@test "the environment turns it on as the option does" {
    job=$(alice env HOLDFAST_CHECKPOINT=on sbatch --parsable -w n1 -o env.out --wrap 'ip -brief link show hf0')
    wait_for_end "$job"
    assert_contains "$(cat /shared/alice/env.out)" hf0
}

@test "srun and salloc refuse it outside a batch job, and say why" {
    assert_run ! alice srun --checkpoint true
    assert_contains "$output" sbatch
    assert_run ! alice salloc --checkpoint true
    assert_contains "$output" sbatch
}
