# examples/inspect, on the checkpoints of a real job.

load ../lib

@test "the example plots a job's memory and deduplication from its manifests and parts" {
    job=$(alice env STEPS=100 ROW=500000 PAUSE=0.5 sbatch --parsable --mem=2G --checkpoint --checkpoint-keep=10 --checkpoint-dir=/shared/alice/ckpt "$examples/inspect/grow.sbatch")
    wait_for_text "/shared/alice/grow-$job.out" 'step 2'
    eventually 30 details_are "$job" .state running
    for _ in 1 2 3 4; do
        alice holdfast save "$job"
        sleep 2
    done
    run -0 alice python3 "$examples/inspect/inspect_checkpoints.py" "$(ckpt "$job")" grow.png
    assert_contains "$output" 'plotted 4 checkpoints in grow.png'
    # checkpoint, data, zeros, as before, new, on disk: it grows, and most of it is as before.
    run -0 awk '$1 ~ /^[0-9]+$/ && NF == 6 { if ($2 <= data) exit 1; data = $2; before = $4; new = $5; rows++ } END { exit !(rows == 4 && before > 2 * new && new > 0) }' <<<"$output"
    assert_equal "$(head -c 4 /shared/alice/grow.png | tail -c 3)" PNG
    [ "$(stat -c %s /shared/alice/grow.png)" -gt 20000 ]
    # What it counts as stored is what the packs have.
    stored=$(details "$job" '[.checkpoints[] | select(.state == "committed") | .stored_bytes] | add')
    on_disk=$(du -sb "$(ckpt "$job")/packs" | cut -f1)
    [ "$stored" -gt "$((on_disk * 9 / 10))" ]
    assert_run ! as bob ctl python3 "$examples/inspect/inspect_checkpoints.py" "$(ckpt "$job")" /tmp/bob.png
    alice scancel "$job"
}

# bats test_tags=slice
@test "it says so when there is nothing to look at" {
    alice mkdir -p none
    assert_run 1 alice python3 "$examples/inspect/inspect_checkpoints.py" /shared/alice/none none.png
    assert_contains "$output" 'no checkpoint is there'
}
