# The coordinator's figures, held to what it tells of each job.

load ../lib

# asked PATH: what anybody is answered, who has no credential.
asked() { on ctl curl -sS --fail-with-body "http://ctl:6829$1"; }

# The page is made once a second at most, so what was said a moment before would be said again.
figures() {
    sleep 1.1
    asked /metrics | /src/tests/integration/service/exposition.py
}

# figure NAME [LABEL=VALUE...]: the sum of the series that have these labels, of $page.
figure() {
    local name=$1 filter='true'
    shift
    for label in "$@"; do filter+=" and .labels.${label%%=*} == \"${label#*=}\""; done
    jq -r "[.[] | select(.name == \"$name\" and ($filter)) | .value] | add // 0" <<<"$page"
}

# of_all FILTER: jq's, over the details of all of alice's jobs.
of_all() { jq -r "$1" <<<"$details"; }
learn() {
    page=$(figures)
    details=$(for job in "$@"; do alice holdfast show "$job" --json; done | jq -s .)
}

# near A B: within a millionth, for sums of many numbers.
near() {
    jq -en --argjson a "$1" --argjson b "$2" '(($a - $b) | fabs) <= 1e-6 * (1 + ($b | fabs))' >/dev/null ||
        { echo "$1 is not $2" >&2; return 1; }
}

setup_file() {
    idle_cluster
    restart_coordinator # counters begin at 0
    eventually 20 asked /readyz
    on ctl cp /etc/holdfast/holdfast.yaml /tmp/holdfast.yaml.before
}
teardown_file() {
    on ctl cp /tmp/holdfast.yaml.before /etc/holdfast/holdfast.yaml
    restart_coordinator
}

# bats test_tags=slice
@test "after saves and moves the figures are the sums of what show tells" {
    one=$(submit --checkpoint -J one -o one.out --wrap 'i=0; while :; do i=$((i + 1)); echo $i; sleep 0.1; done')
    eventually 30 details_are "$one" .state running
    alice holdfast save "$one"
    alice holdfast save "$one"
    move "$one"
    two=$(submit --checkpoint -N2 -J two -o two.out --wrap 'sleep 1000')
    eventually 30 details_are "$two" .state running
    alice holdfast save "$two"
    alice holdfast migrate "$two"
    wait_for_restart "$two" 1
    alice holdfast save "$two" --stop
    eventually 30 details_are "$two" .state held

    learn "$one" "$two"
    assert_equal "$(figure holdfast_checkpoints_total outcome=committed)" \
        "$(of_all '[.[].checkpoints[] | select(.committed_unix_ns)] | length')"
    for reason in save preemption migrate; do
        assert_equal "$(figure holdfast_checkpoints_total reason=$reason outcome=committed)" \
            "$(of_all "[.[].checkpoints[] | select(.reason == \"$reason\")] | length")"
        near "$(figure holdfast_checkpoint_safe_seconds_sum reason=$reason)" \
            "$(of_all "[.[].checkpoints[] | select(.reason == \"$reason\").commit_ns] | add / 1e9")"
    done
    assert_equal "$(figure holdfast_checkpoint_frozen_seconds_count)" "$(figure holdfast_checkpoints_total)"
    near "$(figure holdfast_checkpoint_frozen_seconds_sum)" "$(of_all '[.[].checkpoints[].frozen_ns] | add / 1e9')"
    assert_equal "$(figure holdfast_checkpoint_data_bytes_total)" "$(of_all '[.[].checkpoints[].raw_bytes] | add')"
    assert_equal "$(figure holdfast_checkpoint_stored_bytes_total)" "$(of_all '[.[].checkpoints[].stored_bytes] | add')"
    assert_equal "$(figure holdfast_notices_total reason=preemption)" 1

    # The third move is under way: its job is held.
    assert_equal "$(figure holdfast_move_seconds_count)" 2
    near "$(figure holdfast_move_seconds_sum reason=preemption)" \
        "$(of_all '[.[].moves[] | select(.reason == "preemption").total_ns] | add / 1e9')"
    near "$(figure holdfast_move_pending_seconds_sum)" \
        "$(of_all '[.[].moves[] | select(.total_ns).pending_ns] | add / 1e9')"
    near "$(figure holdfast_restore_seconds_sum)" "$(of_all '[.[].moves[] | select(.total_ns).restore_ns] | add / 1e9')"
    assert_equal "$(figure holdfast_restores_total outcome=ready)" 2
    assert_equal "$(figure holdfast_starts_total outcome=ready)" 2
    assert_equal "$(figure holdfast_pages_in_seconds_count)" "$(of_all '[.[].events[] | select(.name == "pages-in")] | length')"

    # As `list` has them, and squeue.
    states=$(on ctl holdfast list --json | jq -c '[.jobs[].state] | group_by(.) | map({(.[0]): length}) | add')
    for state in running held; do
        assert_equal "$(figure holdfast_jobs state=$state)" "$(jq ".$state" <<<"$states")"
    done
    assert_equal "$(figure holdfast_jobs)" "$(jq add <<<"$states")"
    assert_equal "$(figure holdfast_wardens)" 1

    alice scancel "$one" "$two"
}

@test "a refused save is counted by why, and nothing else is" {
    job=$(submit --checkpoint -J traced -o traced.out --wrap 'strace -f -o /dev/null sleep 1000')
    wait_for_state "$job" RUNNING
    eventually 20 details_are "$job" .state running
    before=$(page=$(figures); figure holdfast_checkpoints_total outcome=committed)
    assert_run ! alice holdfast save "$job"
    learn "$job"
    assert_equal "$(figure holdfast_checkpoints_total reason=save outcome=unsupported)" 1
    assert_equal "$(of_all '.[0].checkpoints[0].code')" unsupported
    assert_equal "$(figure holdfast_checkpoints_total outcome=committed)" "$before"
    alice scancel "$job"
}

@test "Slurm's requests are timed, and failures of a slurmctld that is away are counted" {
    learn
    polls=$(figure holdfast_slurm_request_seconds_count)
    assert_equal "$(jq -n "$polls > 0")" true
    assert_run 0 asked /readyz
    job=$(submit --checkpoint -J alone -o alone.out --wrap 'sleep 1000')
    eventually 30 details_are "$job" .state running
    on ctl scontrol shutdown slurmctld
    not_ready() { [ "$(on ctl curl -s -o /dev/null -w '%{http_code}' http://ctl:6829/readyz)" = 503 ]; }
    eventually 60 not_ready
    assert_contains "$(on ctl curl -s http://ctl:6829/readyz)" slurm:
    assert_equal "$(asked /healthz)" ok
    on ctl slurmctld
    eventually 60 asked /readyz
    page=$(figures)
    assert_equal "$(jq -n "$(figure holdfast_slurm_request_failures_total code=unavailable) > 0")" true
    alice scancel "$job"
}

@test "the page has no names in it, and asks for none" {
    job=$(submit --checkpoint -J unmistakable -o secret.out --wrap 'sleep 1000')
    eventually 30 details_are "$job" .state running
    sleep 1.1
    page=$(asked /metrics)
    for name in alice "$(on ctl id -u alice)" unmistakable "\"$job\"" n1 n2 n3 n4 /shared; do
        # As a word: a figure may have any digits in it.
        if grep -wF -- "$name" <<<"$page" >&2; then echo "it has $name" >&2; return 1; fi
    done
    alice scancel "$job"
}

@test "a site that does not want it has none" {
    on ctl sed -i '/^coordinator:/a\  metrics: off' /etc/holdfast/holdfast.yaml
    restart_coordinator
    eventually 20 asked /healthz
    status=$(on ctl curl -s -o /dev/null -w '%{http_code}' http://ctl:6829/metrics)
    assert_equal "$status" 404
}
