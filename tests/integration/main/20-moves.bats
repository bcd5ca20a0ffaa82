# Preempted jobs go on elsewhere and print what uninterrupted ones print.

load ../lib

# Rounds are a tenth of a second apart, so that waiting ranks leave the cores to what is tested; the
# uninterrupted run takes no pauses, which its digest does not depend on.
ring() { # ROUNDS OUTPUT [SCRIPT]: prints the job's id
    alice env ROUNDS="$1" PAUSE_MS=100 sbatch --parsable -o "$2" "${3:-$examples/ring/ring.sbatch}"
}
mpirun=/src/tests/integration/main/mpirun.sbatch
ring_digest() { # ROUNDS
    local job
    job=$(alice env ROUNDS="$1" PAUSE_MS=0 sbatch --parsable --checkpoint=off -p urgent -o ring.plain "$examples/ring/ring.sbatch")
    wait_for_end "$job"
    grep '^digest' /shared/alice/ring.plain
}

@test "an MPI job on two nodes is preempted and ends with the same digest" {
    expected=$(ring_digest 200)
    job=$(ring 200 ring.out)
    wait_for_text /shared/alice/ring.out 'round'
    move "$job"
    wait_for_state "$job" COMPLETED 120
    assert_equal "$(grep '^digest' /shared/alice/ring.out)" "$expected"
    diff <(printed /shared/alice/ring.plain) <(printed /shared/alice/ring.out)
    assert_equal "$(details "$job" '.moves | length')" 1
    # All went well: nothing is kept.
    on ctl test -d /home/alice/.holdfast
    on ctl test ! -e "/home/alice/.holdfast/$job"
}

# How often a slurmstepd has tried in vain to tell srun of its task's end, which takes it seconds, and
# the node is not free meanwhile.
steps_that_waited() {
    local node
    for node in n1 n2 n3 n4; do on "$node" grep 'Failed to send MESSAGE_TASK_EXIT' /var/log/slurm/slurmd.log || true; done | wc -l
}

@test "ten moves in a row, each to other nodes, and the same digest" {
    waited=$(steps_that_waited)
    expected=$(ring_digest 400)
    job=$(ring 400 ten.out "$mpirun")
    wait_for_text /shared/alice/ten.out 'round'
    for _ in {1..10}; do move "$job"; done
    wait_for_state "$job" COMPLETED 300
    assert_equal "$(job_field "$job" Restarts)" 10
    assert_equal "$(grep '^digest' /shared/alice/ten.out)" "$expected"
    assert_equal "$(steps_that_waited)" "$waited"
}

# The second node's warden sleeps while the first cuts and freezes its pod: ARCHITECTURE.md, "Why cutting,
# then freezing, is enough".
@test "no message is lost however far apart the pods are cut" {
    expected=$(ring_digest 200)
    job=$(ring 200 skew.out "$mpirun")
    wait_for_text /shared/alice/skew.out 'round'
    for pause in 0.2 0.7 1.5; do
        for how in save migrate; do
            last=$(on ctl scontrol show hostnames "$(job_field "$job" NodeList)" | tail -n 1)
            restarts=$(job_field "$job" Restarts)
            on "$last" pkill -STOP -x holdfast-warden
            alice holdfast "$how" "$job" &
            sleep "$pause"
            on "$last" pkill -CONT -x holdfast-warden
            wait $!
            [ "$how" = save ] || wait_for_restart "$job" $((restarts + 1))
        done
    done
    wait_for_state "$job" COMPLETED 120
    assert_equal "$(grep '^digest' /shared/alice/skew.out)" "$expected"
}

@test "preempted in the middle of its own restore, the job survives" {
    expected=$(ring_digest 300)
    job=$(ring 300 twice.out)
    wait_for_text /shared/alice/twice.out 'round'
    first=$(preempt "$(job_field "$job" NodeList)")
    # By Slurm's word, which is there before the restore begins: that may be over in a moment.
    starts_again() { [ "$(job_field "$job" Restarts)" = 1 ] && job_is "$job" RUNNING; }
    eventually 60 starts_again
    second=$(preempt "$(job_field "$job" NodeList)")
    alice scancel "$first"
    wait_for_restart "$job" 2 120
    alice scancel "$second"
    wait_for_state "$job" COMPLETED 120
    assert_equal "$(grep '^digest' /shared/alice/twice.out)" "$expected"
}

@test "XGBoost with two threads is moved in mid-training; its predictions are the same to the last bit" {
    job=$(alice env ROUNDS=4000 ROWS=4000 sbatch --parsable --checkpoint=off -p urgent -o xgboost.plain "$examples/xgboost/xgboost.sbatch")
    wait_for_end "$job"
    job=$(alice env ROUNDS=4000 ROWS=4000 sbatch --parsable -o xgboost.out "$examples/xgboost/xgboost.sbatch")
    wait_for_text /shared/alice/xgboost.out 'round'
    move "$job"
    wait_for_state "$job" COMPLETED 120
    diff /shared/alice/xgboost.plain /shared/alice/xgboost.out
}

@test "a shell script with a coprocess and files in /tmp is moved" {
    job=$(alice env COUNT=40 PAUSE=0.2 sbatch --parsable -o count.out "$examples/bash/count.sbatch")
    wait_for_state "$job" RUNNING
    eventually 20 details_are "$job" .state running
    move "$job"
    wait_for_state "$job" COMPLETED
    assert_equal "$(cat /shared/alice/count.out)" 'squares: 40, sum: 22140'
}

@test "pids and addresses are the same after a move" {
    job=$(submit --checkpoint -o same.out <<'END'
#!/bin/bash
look() { echo $$ $BASHPID $PPID; hostname; ip -brief address show hf0; ip link show hf0 | grep -o 'mtu [0-9]*'; }
look; echo ready
until [ -e go ]; do sleep 0.1; done
look
END
    )
    wait_for_text /shared/alice/same.out ready
    move "$job"
    alice touch go
    wait_for_state "$job" COMPLETED
    assert_equal "$(sed '1,/ready/d' /shared/alice/same.out)" "$(sed '/ready/,$d' /shared/alice/same.out)"
}

@test "ranks are bound to a CPU each after a move, as before" {
    job=$(submit --checkpoint -N1 --ntasks=2 -o bound.out <<<$'#!/bin/bash\nmpirun --bind-to core bash -c \'while [ ! -e go-bound ]; do sleep 0.2; done; taskset -cp $$ | sed "s/.*: //"\'')
    eventually 30 details_are "$job" .state running
    sleep 2
    move "$job"
    alice touch go-bound
    wait_for_state "$job" COMPLETED
    assert_equal "$(sort -u /shared/alice/bound.out | wc -l)" 2
    run ! grep -E '[-,]' /shared/alice/bound.out
}

@test "periodic checkpoints are taken, and the newest two are kept" {
    job=$(submit --checkpoint=2s --checkpoint-dir=/shared/alice/ckpt -o periodic.out <<<$'#!/bin/bash\nfor i in {1..150}; do sleep 0.1; done')
    wait_for_state "$job" RUNNING
    eventually 30 sh -c "[ \"\$(ls /shared/alice/ckpt/lab-$job-* 2>/dev/null | grep -c manifest)\" = 2 ]"
    eventually 30 details_are "$job" '[.checkpoints[] | select(.state == "removed")] | length > 0' true
    wait_for_state "$job" COMPLETED
}

@test "holdfast save --stop stops the job until it is resumed" {
    job=$(submit --checkpoint -o stop.out <<<$'#!/bin/bash\nfor i in {1..50}; do echo $i; sleep 0.1; done')
    wait_for_text /shared/alice/stop.out 3
    alice holdfast save "$job" --stop
    wait_for_state "$job" PENDING
    alice holdfast resume "$job"
    wait_for_state "$job" COMPLETED
    assert_equal "$(cat /shared/alice/stop.out)" "$(seq 50)"
}

@test "holdfast migrate moves it" {
    job=$(submit --checkpoint -o migrate.out <<<$'#!/bin/bash\nfor i in {1..100}; do echo $i; sleep 0.1; done')
    wait_for_text /shared/alice/migrate.out 3
    from=$(job_field "$job" NodeList)
    alice holdfast migrate "$job"
    wait_for_restart "$job" 1
    [ "$(job_field "$job" NodeList)" != "$from" ]
    wait_for_state "$job" COMPLETED
    assert_equal "$(cat /shared/alice/migrate.out)" "$(seq 100)"
}

@test "--restore-from starts a new job from a saved one" {
    job=$(submit --checkpoint -o origin.out <<<$'#!/bin/bash\nfor i in {1..40}; do echo $i >> log-$SLURM_JOB_ID; sleep 0.1; done')
    wait_for_state "$job" RUNNING
    eventually 20 details_are "$job" .state running
    alice holdfast save "$job"
    alice scancel "$job"
    wait_for_end "$job"
    sleep 1
    clone=$(submit --checkpoint --restore-from="$job" -o clone.out <<<$'#!/bin/bash\necho never run')
    wait_for_end "$clone"
    run ! grep 'never run' /shared/alice/clone.out
}
