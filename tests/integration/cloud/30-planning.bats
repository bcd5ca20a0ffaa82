# How often a job is saved if that is left to Holdfast, and what becomes of one that cannot be saved in time.

load ../lib
load nodes

setup_file() {
    idle_cluster
    cloud start
}

teardown_file() { cloud stop; }

setup() {
    cloud faults '{}'
    fresh_nodes
}

# bats test_tags=slice
@test "--checkpoint=auto: the interval is chosen after each checkpoint, and holdfast show says why" {
    job=$(counter auto.out --checkpoint=auto)
    eventually 60 details_are "$job" .state running
    assert_equal "$(details "$job" .options.auto_interval)" true
    assert_equal "$(details "$job" .plan.basis)" first
    assert_equal "$(details "$job" .plan.interval_seconds)" 4
    eventually 30 details_are "$job" '.plan.basis == "young-daly"' true
    assert_equal "$(committed "$job")" 1
    assert_equal "$(details "$job" '.checkpoints[0].reason')" interval
    # One node for a week, less what other tests have done to it, and a checkpoint of about a second: minutes.
    assert_equal "$(details "$job" '.plan | .interval_seconds > 30 and .interval_seconds < 3600')" true
    assert_equal "$(details "$job" '.plan.notice_ns')" 30000000000
    assert_equal "$(details "$job" '.plan | .to_safe_ns > 0 and .to_safe_ns <= .to_safe_longest_ns and .notice_suffices')" true
    run alice holdfast show "$job"
    assert_contains "$output" 'Young/Daly'
    assert_contains "$output" 'safe in '
    assert_contains "$output" "notice of a node's end is given 30 s before"
    wait_for_state "$job" COMPLETED 120
    assert_counted auto.out
}

@test "an interruption is remembered, and makes intervals shorter" {
    job=$(counter moved.out --checkpoint=auto)
    eventually 30 details_are "$job" '.plan.basis == "young-daly"' true
    before=$(details "$job" .plan.interruption_every_ns)
    node=$(nodes_of "$job")
    cloud announce "$node" 30
    wait_for_restart "$job" 1
    assert_equal "$(details "$job" ".plan.interruption_every_ns < $before")" true
    after=$(details "$job" .plan.interruption_every_ns)
    on ctl /src/lab/lib/coordinator stop
    on ctl /src/lab/lib/coordinator start
    eventually 60 details_are "$job" ".plan.interruption_every_ns != null and .plan.interruption_every_ns <= $after + 60000000000" true
    wait_for_state "$job" COMPLETED 120
    assert_counted moved.out
}

@test "a notice that is too short: saving is tried, and the last periodic checkpoint stands" {
    job=$(submit --checkpoint --checkpoint-dir=gs://holdfast/alice -o late.out <<'END'
#!/usr/bin/python3 -u
import os, time
for i in range(1, 301):
    memory = os.urandom(16 << 20)
    print(i, flush=True)
    time.sleep(0.1)
END
    )
    eventually 60 details_are "$job" .state running
    wait_for_text /shared/alice/late.out 5
    alice holdfast save "$job"
    cloud faults '{"link_bytes_per_second": 200000}'
    node=$(nodes_of "$job")
    cloud announce "$node" 5
    sleep 5
    assert_contains "$(details "$job" '.checkpoints[1].reason')" spot
    assert_equal "$(committed "$job")" 1
    /src/lab/lib/node-stop "$node"
    cloud faults '{}'
    wait_for_restart "$job" 1 180
    left "$job" "$node"
    assert_equal "$(details "$job" .restored_from.checkpoint)" 1
    wait_for_state "$job" COMPLETED 120
    assert_equal "$(cat /shared/alice/late.out)" "$(seq 300)"
}
