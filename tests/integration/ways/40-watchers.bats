# What those see who watch a job that is preempted: sbatch --wait, dependencies, workflow managers.

load ../lib
load ways

teardown() { without_slurm_settings; }

@test "sbatch --wait returns once, with the script's exit code" {
    # shellcheck disable=SC2016 # the script's
    alice sbatch --wait -p nograce -w n2 -J waited -o waited.out --checkpoint --wrap 'for i in $(seq 40); do echo $i; sleep 0.1; done; exit 3' >"$BATS_TEST_TMPDIR/wait" 2>&1 3>&- &
    waiter=$!
    wait_for_text /shared/alice/waited.out 5
    urgent=$(preempt n2)
    eventually 60 job_is "$urgent" RUNNING
    alice scancel "$urgent"
    status=0
    wait "$waiter" || status=$?
    assert_equal "$status" 3
    diff <(seq 40) <(on ctl cat /shared/alice/waited.out)
}

@test "dependencies wait for the end, not for a preemption" {
    # shellcheck disable=SC2016
    job=$(alice sbatch --parsable -p nograce -w n2 -o first.out --checkpoint --wrap 'for i in $(seq 40); do echo $i; sleep 0.1; done')
    ok=$(alice sbatch --parsable -p nograce -d afterok:"$job" -o ok.out --wrap 'wc -l <first.out')
    any=$(alice sbatch --parsable -p nograce -d afterany:"$job" -o any.out --wrap 'wc -l <first.out')
    not=$(alice sbatch --parsable -p nograce -d afternotok:"$job" -o not.out --wrap 'wc -l <first.out')
    wait_for_text /shared/alice/first.out 5
    urgent=$(preempt n2)
    eventually 60 job_is "$urgent" RUNNING
    alice scancel "$urgent"
    eventually 60 job_is "$ok" COMPLETED
    eventually 60 job_is "$any" COMPLETED
    assert_equal "$(on ctl cat /shared/alice/ok.out) $(on ctl cat /shared/alice/any.out)" "40 40"
    run ! job_is "$not" COMPLETED
    alice scancel "$not"
}

@test "aftercorr waits for each task of an array, singleton for the job of that name" {
    # shellcheck disable=SC2016
    array=$(alice sbatch --parsable -p nograce --array=0-1 -w n2 -n 1 -o task-%a.out --checkpoint --wrap 'for i in $(seq 40); do echo $i; sleep 0.1; done')
    # shellcheck disable=SC2016
    after=$(alice sbatch --parsable -p nograce --array=0-1 -d aftercorr:"$array" -o after-%a.out --wrap 'wc -l <task-$SLURM_ARRAY_TASK_ID.out')
    # shellcheck disable=SC2016
    alice sbatch -J single -p nograce -w n2 -n 1 -o single.out --checkpoint --wrap 'for i in $(seq 40); do echo $i; sleep 0.1; done' >/dev/null
    second=$(alice sbatch --parsable -J single -d singleton -p nograce -o second.out --wrap 'wc -l <single.out')
    for file in task-0 task-1 single; do wait_for_text "/shared/alice/$file.out" 5; done
    urgent=$(preempt n2)
    eventually 60 job_is "$urgent" RUNNING
    alice scancel "$urgent"
    for job in "${after}_0" "${after}_1" "$second"; do eventually 60 job_is "$job" COMPLETED; done
    for file in after-0 after-1 second; do assert_equal "$(on ctl cat "/shared/alice/$file.out")" 40; done
}

# preempt_beside PARTITION [SBATCH-OPTION...]: one of plain Slurm's and one of ours, which an urgent job
# takes from their nodes, and waits until both are over. Sets plain and ours.
preempt_beside() {
    local partition=$1 job urgent
    shift
    # shellcheck disable=SC2016 # the script's
    local script='for i in $(seq 40); do echo $i; sleep 0.1; done; until [ -e go ]; do sleep 0.1; done; exit 3'
    alice rm -f go plain.out ours.out
    plain=$(alice sbatch --parsable -J beside -p "$partition" -w n1 -o plain.out "$@" --wrap "$script")
    ours=$(alice sbatch --parsable -J beside -p "$partition" -w n2 -o ours.out --checkpoint "$@" --wrap "$script")
    for name in plain ours; do wait_for_text /shared/alice/$name.out 5; done
    urgent=$(preempt n1,n2)
    eventually 60 job_is "$urgent" RUNNING
    alice touch go
    alice scancel "$urgent"
    eventually 30 job_may_go_on "$plain"
    on ctl scontrol update jobid="$plain" starttime=now 2>/dev/null || true
    for job in "$plain" "$ours"; do eventually 60 job_ended "$job"; done
}
job_may_go_on() { [ "$(job_field "$1" Reason)" = BeginTime ] || job_ended "$1"; }
job_ended() { job_over "$1" || job_is "$1" PREEMPTED; }

# mails JOB: what its user got, a word a mail, sorted: slurmctld sends each by a thread of its own.
mails() { on ctl sed -n "s/.*Job_id=$1 Name=beside \([A-Za-z]*\).*/\1/p" /tmp/mail | sort | paste -sd' '; }
mails_are() { [ "$(mails "$1")" = "$2" ]; }

@test "mail: what Slurm writes for any job that it requeues; the user's comment stays" {
    on ctl rm -f /tmp/mail
    preempt_beside nograce --mail-type=BEGIN,END,FAIL,REQUEUE --comment="mine, and stays"
    for job in "$plain" "$ours"; do eventually 30 mails_are "$job" "Began Began Ended Failed Requeued"; done
    assert_equal "$(alice squeue -h -t all -j "$ours" -o %k)" "mine, and stays"
}

# Slurm ends it, and says so, before anybody can bring it back.
@test "mail: at a preemption by CANCEL of its end, and when it goes on of its beginning" {
    on ctl rm -f /tmp/mail
    preempt_beside cancel --mail-type=BEGIN,END,FAIL,REQUEUE
    eventually 30 mails_are "$plain" "Began Failed"
    eventually 30 mails_are "$ours" "Began Began Failed Failed Requeued"
}

# Slurm's own record has to allow what the user forbids, while the job runs.
@test "--no-requeue: sbatch --test-only starts nothing, and the job's record is right when it has ended" {
    alice rm -f end
    for options in "" --checkpoint; do
        # shellcheck disable=SC2086
        assert_run 0 alice sbatch --test-only -p nograce --no-requeue $options --wrap true
        assert_contains "$output" "to start at"
        assert_equal "$(alice squeue -h)" ""
    done
    job=$(alice sbatch --parsable -p nograce --no-requeue --checkpoint -o /dev/null --wrap 'until [ -e end ]; do sleep 0.1; done')
    eventually 60 requeue_is "$job" 1
    assert_contains "$(alice holdfast show "$job")" "never started again"
    alice touch end
    wait_for_state "$job" COMPLETED
    requeue_is "$job" 0
}
requeue_is() { [ "$(job_field "$1" Requeue)" = "$2" ]; }

@test "Ctrl-C ends sbatch --wait, and not its job" {
    for options in "-w n1" "-w n2 --checkpoint"; do
        # shellcheck disable=SC2086,SC2016
        alice sbatch --wait -J interrupted -p nograce $options -o /dev/null --wrap 'sleep 3' >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
        eventually 20 grep -q Submitted "$BATS_TEST_TMPDIR/out"
        job=$(awk '{ print $4 }' "$BATS_TEST_TMPDIR/out")
        eventually 20 job_is "$job" RUNNING
        on ctl pkill -INT -f -- '--wait -J interrupted'
        wait_for_state "$job" COMPLETED
    done
}

# In the shape of Nextflow's wrapper around every task.
wrapper() { # NAME
    alice mkdir -p "$1"
    alice tee "$1/.command.run" >/dev/null <<'END'
#!/bin/bash
#SBATCH --no-requeue
#SBATCH --signal B:USR2@30
#SBATCH -p nograce
cd "$1" || exit 1
on_exit() {
    exit_status=${task_status:-$?}
    printf '%s' "$exit_status" >.exitcode
    exit "$exit_status"
}
on_term() {
    set +e
    [ -z "$pid" ] || kill -USR2 -- "$pid"
    echo terminated >.terminated
}
trap on_exit EXIT
trap on_term TERM INT USR2
touch .command.begin
tmp=$(mktemp -d)
mkfifo "$tmp/out" "$tmp/err"
tee .command.out <"$tmp/out" &
tee_out=$!
tee .command.err <"$tmp/err" >&2 &
tee_err=$!
sampler() {
    while true; do
        for stat in /proc/[0-9]*/stat; do read -r _ <"$stat"; done 2>/dev/null
        sleep 0.2
    done
}
sampler &
sampler=$!
(
    total=0
    for ((i = 1; i <= 100; i++)); do
        total=$((total + i))
        echo "out $i $total"
        echo "err $i" >&2
        sleep 0.1
    done
    exit 7
) >"$tmp/out" 2>"$tmp/err" &
pid=$!
wait "$pid"
task_status=$?
kill "$sampler"
wait "$tee_out" "$tee_err"
rm -rf "$tmp"
END
}

@test "a task of Nextflow's, moved three times, leaves the files of one that was not" {
    wrapper plain
    wrapper ours
    plain=$(alice sbatch --parsable -o plain/.command.log -w n1 plain/.command.run plain)
    ours=$(alice sbatch --parsable -o ours/.command.log -w n2 --checkpoint ours/.command.run ours)
    for n in 1 2 3; do
        wait_for_text /shared/alice/ours/.command.out "out $((n * 20)) "
        urgent=$(preempt n2)
        eventually 60 job_is "$urgent" RUNNING
        alice scancel "$urgent"
        wait_for_restart "$ours" "$n"
    done
    eventually 60 job_over "$plain"
    eventually 60 job_over "$ours"
    assert_equal "$(job_field "$ours" ExitCode)" 7:0
    for file in .command.out .command.err .command.log .exitcode; do
        diff <(on ctl sort "/shared/alice/plain/$file") <(on ctl sort "/shared/alice/ours/$file")
    done
    on ctl test ! -e /shared/alice/ours/.terminated
}

# Snakemake 7 takes PREEMPTED for failed (later ones do not), which sacct shows until the job is in
# the queue again: for seconds if it was saved, for two minutes if it had not begun yet. It first looks
# after 40 s and then every 20 s or less often: so nodes are taken soon after it has looked.
snakemake_has_just_looked() { [ $(($(date +%s) - $(on ctl stat -c %Y /shared/alice/flow/looked))) -lt 10 ]; }
all_have_begun() { [ "$(on ctl cat /shared/alice/flow/begun 2>/dev/null | wc -l)" = 12 ]; }
snakemake_has_submitted() { [ "$(grep -c 'has been submitted' /tmp/snakemake.out)" = "$1" ]; }

@test "a workflow of Snakemake's Slurm executor, preempted again and again: every rule is run once" {
    with_slurm_settings KillWait=30 # Slurm's default; the lab's is shorter
    flow=/usr/share/holdfast/examples/snakemake
    alice mkdir -p flow/bin
    alice tee flow/bin/sacct >/dev/null <<<'#!/bin/sh
touch /shared/alice/flow/looked
exec /usr/bin/sacct "$@"'
    alice chmod +x flow/bin/sacct
    alice env -C flow PATH=/shared/alice/flow/bin:/usr/bin:/bin snakemake -s $flow/Snakefile --profile $flow/profile \
        --default-resources slurm_partition=nograce slurm_extra=--checkpoint mem_mb=800 runtime=60 >/tmp/snakemake.out 2>&1 3>&- &
    snakemake=$!
    alice sh -c "for seed in \$(seq 12); do python3 $flow/sample.py \$seed; done" >"$BATS_TEST_TMPDIR/plain" 3>&- &
    drawing=$!
    eventually 60 snakemake_has_submitted 12
    on ctl touch -d '20 seconds' /shared/alice/flow/looked
    eventually 60 all_have_begun
    for node in n1 n2 n3 n1 n2 n3; do
        until snakemake_has_just_looked; do kill -0 "$snakemake" 2>/dev/null || break 2; sleep 0.5; done
        urgent=$(preempt "$node")
        eventually 60 job_is "$urgent" RUNNING
        alice scancel "$urgent"
        moves=$((${moves:-0} + 1))
    done
    wait "$snakemake" || { cat /tmp/snakemake.out >&2; return 1; }
    [ "$moves" -ge 3 ]
    [ "$(on ctl sacct -X -n -u alice -S now-10minutes -o restarts | awk '{ sum += $1 } END { print sum + 0 }')" -ge 6 ]
    wait "$drawing"
    assert_equal "$(on ctl sort -n /shared/alice/flow/begun | paste -sd' ')" "$(seq -s' ' 12)"
    assert_equal "$(on ctl sh -c 'cat $(ls -v /shared/alice/flow/samples/*)')" "$(cat "$BATS_TEST_TMPDIR/plain")"
    assert_equal "$(on ctl cat /shared/alice/flow/integral)" "$(awk '{ sum += $1 } END { printf "%.9f\n", sum / NR }' "$BATS_TEST_TMPDIR/plain")"
}
