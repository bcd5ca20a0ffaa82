# The notices of clouds other than Google's, each from the metadata server to a job that goes on elsewhere.

load ../lib
load nodes

teardown_file() { cloud stop; }

setup() { idle_cluster; }

# leaves_in_time PROVIDER SECONDS REASON: a job on a node that is taken back by that provider, which gives so much
# time, moves within it, and the node is drained with a reason that has REASON in it.
leaves_in_time() {
    cloud start "$1"
    fresh_nodes
    job=$(counter counted.out --checkpoint-dir=/home/alice/.holdfast)
    eventually 60 details_are "$job" .state running
    wait_for_text /shared/alice/counted.out 5
    node=$(nodes_of "$job")
    cloud announce "$node" "$2"
    eventually 20 drained "$node"
    assert_contains "$(on ctl scontrol show node "$node")" "Reason=holdfast: the cloud takes it back: $3"
    wait_for_restart "$job" 1 "$2"
    left "$job" "$node"
    assert_equal "$(details "$job" '.moves[0].reason')" spot
    assert_equal "$(details "$job" '.checkpoints[0].state')" committed
    wait_for_state "$job" COMPLETED 120
    assert_counted counted.out
    assert_equal "$(job_field "$job" Restarts)" 1
}

# bats test_tags=slice
@test "EC2: spot/instance-action, asked for with a session token" {
    leaves_in_time aws 120 'aws: spot/instance-action: terminate at 20'
}

@test "Azure: a scheduled event of type Preempt" {
    leaves_in_time azure 30 'azure: scheduled event Preempt not before '
}
