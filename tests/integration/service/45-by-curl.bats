# docs/operations/rest-by-curl.md: each line as it is printed there, one after the other in one shell.

load ../lib
load tls

setup_file() { idle_cluster; with_tls; }
teardown_file() { no_tls; }

@test "the page's lines do what it says" {
    job=$(submit --checkpoint -J curl -o curl.out --checkpoint-keep=9 --wrap 'for i in $(seq 100000); do echo $i; sleep 0.1; done')
    eventually 30 details_are "$job" .state running
    lines=/shared/alice/lines.sh
    on ctl sh -c "sed -n '/^\`\`\`sh/,/^\`\`\`/{/^\`\`\`/!p}' /src/docs/operations/rest-by-curl.md" | alice tee $lines >/dev/null
    run alice env "job=$job" "SLURM_JWT=$(token alice)" timeout 300 bash -eux $lines
    printf '%s\n' "$output" >&2
    [ "$status" = 0 ]
    assert_contains "$output" "$job	running"
    assert_contains "$output" '"name":'
    assert_contains "$output" held
    details_are "$job" '.moves | length' 2
    details_are "$job" '[.checkpoints[].state] | join(" ")' 'removing committed committed'
    # It wrote each number once, wherever it was.
    alice awk '$1 != NR { exit 1 }' curl.out
    alice scancel "$job"
}
