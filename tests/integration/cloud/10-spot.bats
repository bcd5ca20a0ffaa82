# A cluster in a cloud that takes nodes back: checkpoints in a bucket, jobs that outlive their nodes.

load ../lib
load nodes

setup_file() {
    idle_cluster
    cloud start
}

teardown_file() { cloud stop; }

setup() { fresh_nodes; }

# A two-node MPI job whose checkpoints go to the bucket.
spot_ring() { alice env ROUNDS="$1" PAUSE_MS=50 sbatch --parsable -o ring.out --checkpoint-dir=gs://holdfast/alice "${@:2}" "$examples/ring/ring.sbatch"; }
ring_digest() { # ROUNDS
    local job
    job=$(alice env ROUNDS="$1" PAUSE_MS=0 sbatch --parsable --checkpoint=off -p urgent -o ring.plain "$examples/ring/ring.sbatch")
    wait_for_end "$job"
    grep '^digest' /shared/alice/ring.plain
}

# No checkpoint of the job is on a disk of any node that is up.
assert_none_on_disk() {
    local node
    for node in ctl n1 n2 n3 n4; do
        on "$node" true 2>/dev/null || continue
        assert_equal "$(on "$node" find /home /shared /tmp /var/tmp /var/lib/holdfast -type d \( -name packs -o -name parts -o -name manifests \))" ''
    done
}

# bats test_tags=slice
@test "a spot node is taken back: the MPI job goes on elsewhere from the bucket, with the same digest" {
    expected=$(ring_digest 300)
    job=$(spot_ring 300)
    wait_for_text /shared/alice/ring.out round
    lost=$(nodes_of "$job" | tail -n 1)
    cloud announce "$lost" 30
    end=$((SECONDS + 30))
    eventually 20 drained "$lost"
    assert_contains "$(on ctl scontrol show node "$lost")" 'Reason=holdfast: the cloud takes it back: gce: instance/preempted is TRUE'
    wait_for_restart "$job" 1 60
    left "$job" "$lost"
    assert_contains "$(cloud objects)" "alice/lab-$job-"
    assert_none_on_disk
    while [ "$SECONDS" -lt "$end" ]; do sleep 0.2; done
    /src/lab/lib/node-stop "$lost"
    wait_for_state "$job" COMPLETED 180
    assert_equal "$(grep '^digest' /shared/alice/ring.out)" "$expected"
    assert_equal "$(job_field "$job" Restarts)" 1
    assert_equal "$(details "$job" '.moves[0].reason')" spot
    diff <(printed /shared/alice/ring.plain) <(printed /shared/alice/ring.out)
}

@test "one notice concerns every job on the node, and no job elsewhere" {
    one=$(counter one.out)
    two=$(counter two.out)
    other=$(counter other.out --exclusive)
    for job in $one $two $other; do eventually 60 details_are "$job" .state running; done
    node=$(nodes_of "$one")
    assert_equal "$(nodes_of "$two")" "$node"
    left "$other" "$node"
    cloud announce "$node" 30
    for job in $one $two; do
        wait_for_restart "$job" 1
        left "$job" "$node"
    done
    for job in $one $two $other; do wait_for_state "$job" COMPLETED 120; done
    assert_equal "$(job_field "$other" Restarts)" 0
    for file in one.out two.out other.out; do assert_counted "$file"; done
}

@test "a node that is lost without notice: the job goes on from its last checkpoint in the bucket" {
    job=$(counter lost.out --nodes=2)
    eventually 60 details_are "$job" .state running
    wait_for_text /shared/alice/lost.out 5
    alice holdfast save "$job"
    lost=$(nodes_of "$job" | tail -n 1)
    /src/lab/lib/node-stop "$lost"
    wait_for_restart "$job" 1 180
    left "$job" "$lost"
    assert_equal "$(details "$job" .restored_from.checkpoint)" 1
    wait_for_state "$job" COMPLETED 180
    assert_counted lost.out
    assert_none_on_disk
}

@test "holdfast evacuate is for administrators, drains the node, and moves its jobs" {
    job=$(counter moved.out)
    eventually 60 details_are "$job" .state running
    node=$(nodes_of "$job")
    assert_run 4 alice holdfast evacuate "$node"
    assert_contains "$output" 'holdfast migrate'
    run ! drained "$node"
    assert_run 0 on ctl holdfast evacuate "$node" --reason 'new disks'
    assert_contains "$output" "$node: job $job is leaving"
    eventually 20 drained "$node"
    assert_contains "$(on ctl scontrol show node "$node")" 'Reason=holdfast: new disks'
    wait_for_restart "$job" 1
    left "$job" "$node"
    wait_for_state "$job" COMPLETED 120
    assert_counted moved.out
    assert_run 3 on ctl holdfast evacuate n9
}

@test "a node drained with a reason that the site has named is evacuated, with another it is not" {
    job=$(counter pattern.out)
    eventually 60 details_are "$job" .state running
    node=$(nodes_of "$job")
    on ctl scontrol update nodename="$node" state=drain reason='disk looks tired'
    sleep 5
    assert_equal "$(job_field "$job" Restarts)" 0
    on ctl scontrol update nodename="$node" state=drain reason='planned: new kernel'
    wait_for_restart "$job" 1
    left "$job" "$node"
    assert_equal "$(details "$job" '.moves[0].reason')" evacuate
    wait_for_state "$job" COMPLETED 120
    assert_counted pattern.out
}
