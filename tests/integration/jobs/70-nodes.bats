# A saved job goes on on fewer nodes than it began on, or on nodes that have what it needs.

load ../lib
load compare

teardown() {
    alice scancel --user=alice
    for node in n1 n2 n3 n4; do on "$node" umount /proc/cpuinfo 2>/dev/null || true; done
    on ctl scontrol update nodename=n[1-4] availablefeatures= activefeatures=
}

pods_are_on() { details_are "$1" '.state + " " + (.nodes | join(","))' "running $2"; }

# bats test_tags=slice
@test "an MPI job of two nodes goes on on one, and on two again, with the same digest" {
    job=$(alice env ROUNDS=300 PAUSE_MS=0 sbatch --parsable --checkpoint=off -p urgent -o ring.plain "$examples/ring/ring.sbatch")
    wait_for_end "$job"
    expected=$(grep '^digest' /shared/alice/ring.plain)
    job=$(alice env ROUNDS=300 PAUSE_MS=100 sbatch --parsable --mem=300M -o ring.out "$examples/ring/ring.sbatch")
    wait_for_text /shared/alice/ring.out round
    alice holdfast migrate "$job" --nodes 1 --exclude n[1-2]
    eventually 60 pods_are_on "$job" n3,n3
    assert_equal "$(job_field "$job" NumNodes)" 1
    assert_equal "$(job_field "$job" MinMemoryNode)" 600M
    # It stays so, and is saved there as anywhere.
    alice holdfast migrate "$job" --exclude n[1-3]
    eventually 60 pods_are_on "$job" n4,n4
    alice holdfast migrate "$job" --nodes 2 --exclude n[3-4]
    eventually 60 pods_are_on "$job" n1,n2
    assert_equal "$(job_field "$job" MinMemoryNode)" 300M
    wait_for_state "$job" COMPLETED 120
    assert_equal "$(grep '^digest' /shared/alice/ring.out)" "$expected"
}

@test "steps of srun see the nodes that they saw, and each its own CPUs" {
    on ctl install -d -o alice -g alice /shared/alice/{off,on}
    for way in off on; do on ctl sh -c "cat >/shared/alice/$way/job.sh" <"$BATS_TEST_DIRNAME/srun/counting.sh"; done
    job=$(as alice ctl env -C /shared/alice/off sbatch --parsable --checkpoint=off -N2 --ntasks-per-node=2 --output=out job.sh)
    wait_for_text /shared/alice/off/counted 'running 3'
    as alice ctl touch /shared/alice/off/go
    wait_for_end "$job"
    job=$(as alice ctl env -C /shared/alice/on sbatch --parsable --checkpoint -N2 --ntasks-per-node=2 --output=out job.sh)
    wait_for_text /shared/alice/on/counted ': 5 '
    alice holdfast migrate "$job" --nodes 1
    wait_for_restart "$job" 1
    assert_equal "$(details "$job" '.nodes | unique | length')" 1
    wait_for_text /shared/alice/on/counted 'running 3'
    alice holdfast migrate "$job" --nodes 2
    wait_for_restart "$job" 2
    as alice ctl touch /shared/alice/on/go
    wait_for_end "$job"
    assert_equal "$(job_field "$job" JobState)" COMPLETED
    in_order() { on ctl sh -c "grep '^srun: error' /shared/alice/$1/out | sort; grep -v '^srun: error' /shared/alice/$1/out"; }
    assert_equal "$(in_order on)" "$(in_order off)"
}

@test "a job that leaves the number of nodes to Slurm goes on whatever it gets" {
    # shellcheck disable=SC2016 # the script's
    job=$(submit --checkpoint -N1-2 -n2 -o range.out <<<$'#!/bin/bash\nfor i in {1..300}; do echo $i $(hostname); sleep 0.1; done')
    wait_for_text /shared/alice/range.out '5 '
    assert_equal "$(job_field "$job" NumNodes)" 2
    # Only one is free when it comes back.
    others=$(on ctl scontrol show hostnames n[1-4] | grep -v n4 | paste -sd,)
    urgent=$(preempt "$others" -N3)
    wait_for_restart "$job" 1
    pods_are_on "$job" n4,n4
    alice scancel "$urgent"
    wait_for_state "$job" COMPLETED
    assert_equal "$(cut -d' ' -f1 /shared/alice/range.out)" "$(seq 300)"
    assert_equal "$(cut -d' ' -f2 /shared/alice/range.out | sort -u | wc -l)" 1
}

@test "what cannot be is refused, with the reason" {
    job=$(submit --checkpoint -N1 -o refused.out <<<$'#!/bin/bash\nsleep 300')
    eventually 30 details_are "$job" .state running
    assert_run ! alice holdfast migrate "$job" --nodes 2
    assert_contains "$output" 'it began on 1 nodes, and can be spread over no more'
    assert_equal "$(job_field "$job" Restarts)" 0
}

@test "more than any node has: it goes on on as many as before, and says so" {
    job=$(submit --checkpoint -N2 -n8 -o wide.out <<<$'#!/bin/bash\nfor i in {1..200}; do echo $i; sleep 0.1; done')
    wait_for_text /shared/alice/wide.out 5
    alice holdfast migrate "$job" --nodes 1 --exclude ''
    wait_for_restart "$job" 1
    assert_equal "$(details "$job" '.nodes | unique | length')" 2
    wait_for_state "$job" COMPLETED
    assert_equal "$(cat /shared/alice/wide.out)" "$(seq 200)"
}

# bats test_tags=slice
@test "nodes whose CPU lacks something, and all of their kind, are avoided, and the user is told what" {
    # The flags of n2, n3 and n4 lack one that n1 has.
    flag=$(on n1 grep -owm1 -E 'avx2|sse4_2|popcnt' /proc/cpuinfo | head -n 1)
    for node in n2 n3 n4; do
        on "$node" sh -c "sed 's/\\<$flag\\>//g' /proc/cpuinfo >/run/cpuinfo && mount --bind /run/cpuinfo /proc/cpuinfo"
    done
    on ctl scontrol update nodename=n1 availablefeatures=new activefeatures=new
    on ctl scontrol update nodename=n[2-4] availablefeatures=old activefeatures=old
    job=$(alice sbatch --parsable --checkpoint -w n1 -o cpu.out --wrap 'for i in $(seq 300); do echo $i; sleep 0.1; done')
    wait_for_text /shared/alice/cpu.out 5
    alice holdfast save "$job" --stop
    alice scontrol update jobid="$job" reqnodelist= excnodelist=n1
    alice holdfast resume "$job"
    comment_has() { [[ $(alice squeue -h -j "$job" -o %k) == *"$1"* ]]; }
    eventually 60 comment_has "lacks instructions that the job may use"
    assert_contains "$(alice squeue -h -j "$job" -o %k)" "$flag"
    # One was tried, the others are not.
    eventually 60 details_are "$job" '.unfit_nodes | sort | join(",")' n2,n3,n4
    assert_equal "$(job_field "$job" Restarts)" 2
    eventually 60 details_are "$job" .state held
    alice scontrol update jobid="$job" excnodelist=
    alice holdfast resume "$job"
    eventually 60 pods_are_on "$job" n1
    assert_equal "$(alice squeue -h -j "$job" -o %k)" ''
    wait_for_state "$job" COMPLETED
    assert_equal "$(cat /shared/alice/cpu.out)" "$(seq 300)"
}
