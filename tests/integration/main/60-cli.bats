# What people see.

load ../lib

@test "list and show tell about a job; --json says the same to programs" {
    job=$(submit --checkpoint -J steady -o cli.out --wrap 'sleep 100')
    wait_for_state "$job" RUNNING
    eventually 20 details_are "$job" .state running
    alice holdfast save "$job"
    assert_contains "$(alice holdfast list)" "$job"
    output=$(alice holdfast show "$job")
    for text in "$job" running save; do assert_contains "$output" "$text"; done
    assert_equal "$(details "$job" '.checkpoints[0] | .state, (.stored_bytes > 0), (.frozen_ns > 0)')" $'committed\ntrue\ntrue'
    alice scancel "$job"
}

@test "an unknown job is named" {
    assert_run 3 alice holdfast show 999999
    assert_contains "$output" 999999
}

@test "doctor finds a lab node fit" {
    run -0 on n1 holdfast doctor
    run -0 on n1 sh -c 'holdfast doctor --json | jq -e .'
}

@test "doctor names what is wrong, and the remedy" {
    on n2 chmod 644 /etc/holdfast/site.key
    assert_run 1 on n2 holdfast doctor
    assert_contains "$output" site.key
    assert_contains "$output" chmod
    on n2 chmod 400 /etc/holdfast/site.key
}

@test "without the coordinator, commands say so and jobs run on" {
    job=$(submit --checkpoint -o alone.out <<<$'#!/bin/bash\nfor i in {1..60}; do echo $i; sleep 0.1; done')
    wait_for_text /shared/alice/alone.out 3
    on ctl /src/lab/lib/coordinator stop
    assert_run 6 alice holdfast list
    assert_contains "$output" coordinator
    wait_for_text /shared/alice/alone.out 60
    on ctl /src/lab/lib/coordinator start
    wait_for_state "$job" COMPLETED
}
