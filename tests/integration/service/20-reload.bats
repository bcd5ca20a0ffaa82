# Settings are read anew while jobs run, are saved and move; what a mistake in them does: nothing.

load ../lib

yaml=/etc/holdfast/holdfast.yaml
log=/var/log/holdfast/coordinator.log

# set_coordinator KEY VALUE: in ctl's file.
set_coordinator() { on ctl sed -i -e "/^  $1:/d" -e "/^coordinator:/a\\  $1: $2" "$yaml"; }
# reload TEXT: until the log has it as an answer to that.
reload() {
    local before
    before=$(on ctl grep -c . "$log")
    on ctl /src/lab/lib/coordinator reload
    said() { on ctl tail -n "+$((before + 1))" "$log" | grep -qF -- "$1"; }
    eventually 20 said "$1" || { on ctl tail -n "+$((before + 1))" "$log" >&2; return 1; }
}
answers() { on ctl curl -s -o /dev/null -w '%{http_code}' "http://ctl:${2:-6829}$1"; }
pid() { on ctl cat /run/holdfast/coordinator.pid; }

setup() { on ctl cp "$yaml" /tmp/holdfast.yaml.before; }
teardown() {
    on ctl cp /tmp/holdfast.yaml.before "$yaml"
    on ctl /src/lab/lib/coordinator reload
}

# bats test_tags=slice
@test "what can be taken anew is, and what cannot is named" {
    pid=$(pid)
    assert_equal "$(answers /metrics)" 200
    set_coordinator metrics off
    set_coordinator rest_port 7777
    reload 'setting-changed setting=coordinator.metrics before=on after=off'
    reload 'setting-needs-restart setting=coordinator.rest_port before=6829 after=7777'
    assert_equal "$(answers /metrics)" 404
    assert_equal "$(answers /healthz)" 200
    assert_run ! answers /healthz 7777
    set_coordinator metrics on
    reload 'setting=coordinator.metrics before=off after=on'
    assert_equal "$(answers /metrics)" 200
    assert_equal "$(pid)" "$pid"
}

@test "a file with mistakes changes nothing, and the log has them" {
    set_coordinator metrics off
    reload 'setting=coordinator.metrics'
    on ctl sh -c "printf 'checkpoint: {keep: many}\nnonsense: 1\n' >$yaml"
    reload 'many'
    assert_contains "$(on ctl tail -5 "$log")" nonsense
    assert_equal "$(answers /metrics)" 404
    assert_run 1 on ctl holdfast config check
    assert_contains "$output" "'many' is not accepted for checkpoint.keep"
    on ctl cp /tmp/holdfast.yaml.before "$yaml"
    assert_run 0 on ctl holdfast config check
}

@test "a new policy counts: an administrator's reason, for nodes drained from then on" {
    job=$(submit --checkpoint -J evacuated -o evacuated.out --wrap 'sleep 1000')
    eventually 30 details_are "$job" .state running
    node=$(job_field "$job" NodeList)
    set_coordinator evacuate_reason leaving
    reload 'setting=coordinator.evacuate_reason'
    on ctl scontrol update nodename="$node" state=drain reason='leaving for good'
    wait_for_restart "$job" 1
    assert_equal "$(details "$job" '.moves[0].reason')" evacuate
    on ctl scontrol update nodename="$node" state=resume
    alice scancel "$job"
}

@test "no job is lost by reloads, whatever it is at" {
    jobs=()
    for i in 1 2 3; do
        jobs+=("$(submit --checkpoint=2s -J "j$i" -o "j$i.out" --wrap 'for i in $(seq 300); do echo $i; sleep 0.1; done; echo well')")
    done
    for job in "${jobs[@]}"; do eventually 60 details_are "$job" .state running; done
    pid=$(pid)
    (for _ in $(seq 60); do
        on ctl /src/lab/lib/coordinator reload
        sleep 0.2
    done) &
    reloader=$!
    move "${jobs[0]}"
    alice holdfast migrate "${jobs[1]}"
    wait "$reloader"
    for i in 0 1 2; do
        wait_for_state "${jobs[$i]}" COMPLETED 120
        assert_equal "$(on ctl cat "/shared/alice/j$((i + 1)).out")" "$(seq 300; echo well)"
    done
    assert_equal "$(pid)" "$pid"
}

@test "the reference has every setting, as text and for programs" {
    settings=$(alice holdfast config reference --json)
    assert_equal "$(jq -r '.[] | select(.name == "checkpoint.keep") | .default, .applies' <<<"$settings")" $'2\nnew jobs'
    assert_equal "$(jq '[.[] | select(.meaning == "" or .accepted == "")] | length' <<<"$settings")" 0
    for name in $(jq -r '.[].name' <<<"$settings"); do
        assert_contains "$(alice holdfast config reference)" "$name"
    done
}
