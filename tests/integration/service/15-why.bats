# What `holdfast why` says of a job in each way that it can be in, and what a refused save says.

load ../lib

why() { alice holdfast why "$1"; }
# reasons JOB ABOUT: for programs.
reasons() { alice holdfast why "$1" --json | jq -r ".why[] | select(.about == \"$2\").reason"; }
next_of() { alice holdfast why "$1" --json | jq -r "[.why[] | select(.about == \"$2\").next | select(. != \"\")] | last // \"\""; }

# bats test_tags=slice
@test "a job's way, told in words" {
    job=$(submit --checkpoint -J told -o told.out --wrap 'sleep 1000')
    eventually 30 details_are "$job" .state running
    assert_equal "$(reasons "$job" saved | head -1)" not-yet
    alice holdfast save "$job"
    assert_equal "$(reasons "$job" saved | head -1)" save
    assert_equal "$(reasons "$job" moved)" ''
    move "$job"
    assert_equal "$(reasons "$job" moved)" preemption
    assert_contains "$(why "$job")" 'because Slurm preempted it'
    assert_contains "$(why "$job")" "it went on on $(job_field "$job" NodeList) from checkpoint 2"
    alice holdfast save "$job" --stop
    eventually 30 details_are "$job" .state held
    assert_equal "$(reasons "$job" held)" save
    assert_contains "$(why "$job")" "next: holdfast resume $job"
    # What it says is to be done, does it.
    alice sh -c "$(next_of "$job" held)"
    eventually 60 details_are "$job" .state running
    assert_equal "$(reasons "$job" held)" ''
    assert_equal "$(reasons "$job" waits)" ''
    alice scancel "$job"
    eventually 30 details_are "$job" .state ended
    assert_contains "$(why "$job")" CANCELLED
    assert_contains "$(next_of "$job" ended)" "sbatch --restore-from=$job"
}

@test "a job that waits in the queue has Slurm's reason" {
    job=$(submit --checkpoint -J queued -o queued.out --nodelist=n1 --wrap 'sleep 1000')
    eventually 30 details_are "$job" .state running
    urgent=$(preempt n1)
    eventually 60 details_are "$job" .state waiting
    reason() { [[ $(why "$job") == *"Slurm's queue: $(job_field "$job" Reason)"* ]]; }
    eventually 20 reason
    alice scancel "$urgent" "$job"
}

@test "a save that cannot be says in its first line what to do" {
    job=$(submit --checkpoint -J traced -o traced.out --wrap 'strace -f -o /dev/null sleep 1000')
    eventually 30 details_are "$job" .state running
    assert_run 1 alice holdfast save "$job"
    assert_contains "${lines[0]}" 'next: run it without strace or debugger'
    assert_contains "$(alice holdfast why "$job" --json | jq -r '.why[] | select(.reason == "unsupported").next')" 'run it without strace'
    assert_contains "$(alice holdfast list)" 'run it without strace'
    alice scancel "$job"

    job=$(submit --checkpoint -J held -o held.out --wrap 'sleep 1000')
    eventually 30 details_are "$job" .state running
    alice holdfast save "$job" --stop
    eventually 30 details_are "$job" .state held
    assert_run 5 alice holdfast save "$job"
    assert_contains "${lines[0]}" "next: holdfast resume $job"
    alice scancel "$job"
}

@test "a full disk is named, and what to do about it" {
    for node in n1 n2 n3 n4; do
        on "$node" mount -t tmpfs -o size=1m,mode=1777 none /mnt
    done
    job=$(submit --checkpoint --checkpoint-dir=/mnt -J full -o full.out --wrap 'a=$(head -c 10000000 /dev/urandom | base64); echo READY; sleep 1000')
    eventually 30 details_are "$job" .state running
    wait_for_text /shared/alice/full.out READY
    run alice holdfast save "$job"
    for node in n1 n2 n3 n4; do on "$node" umount -l /mnt; done
    [ "$status" != 0 ]
    assert_contains "${lines[0]}" 'next: make room'
    assert_equal "$(details "$job" '.checkpoints[0].code')" no-space
    alice scancel "$job"
}

@test "a slip is answered with what was meant" {
    assert_run 2 alice holdfast shwo 7
    assert_contains "$output" "did you mean 'show'?"
    assert_run 2 alice holdfast migrate 7 --exlude n1
    assert_contains "$output" "did you mean '--exclude'?"
}
