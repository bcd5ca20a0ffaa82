# shellcheck shell=bash
# The ways in which Slurm takes a job from its nodes, each tried with a job of plain Slurm and with
# one of Holdfast at once, on a node each: what becomes of the second is compared with the first,
# and so is what somebody sees who asks Slurm for states all the time.

# The jobs count a tenth of a second a line, and note each start of their script.
rounds=60
# Seconds until both are over.
patience=100

# begin_way [SBATCH-OPTION...]: submits both jobs, plain on n1 and ours on n2, and waits until both
# count. `options` is an array of more options for ours. Sets plain and ours.
begin_way() {
    rm -rf /shared/alice/way
    on ctl install -d -o alice -g alice /shared/alice/way
    on ctl tee /shared/alice/way/count.sh >/dev/null <<END
#!/bin/bash
echo start >>/shared/alice/way/\$1.starts
eval "\$2"
for i in {1..$rounds}; do echo \$i; sleep 0.1; done
[ ! -e /shared/alice/way/\$1.exit ] || { code=\$(cat /shared/alice/way/\$1.exit); rm /shared/alice/way/\$1.exit; exit \$code; }
END
    plain=$(alice sbatch --parsable -w n1 -o way/plain.out "$@" way/count.sh plain :)
    ours=$(alice sbatch --parsable -w n2 -o way/ours.out --checkpoint "${options[@]}" "$@" way/count.sh ours "${hindrance:-:}")
    wait_for_text /shared/alice/way/plain.out 5
    wait_for_text /shared/alice/way/ours.out 5
    alice env -C / sh -c "while :; do squeue -h -t all -j $ours -o %t; sleep 0.1; done" >"$BATS_TEST_TMPDIR/squeue" 2>/dev/null 3>&- &
    squeue_poller=$!
    alice env -C / sh -c "while :; do sacct -X -n -j $ours -o State%20; sleep 0.3; done" >"$BATS_TEST_TMPDIR/sacct" 2>/dev/null 3>&- &
    sacct_poller=$!
    # Slurm leaves a requeued job waiting for two minutes; nobody wants to watch that.
    (while sleep 0.5; do
        # Not in the second in which it ended there: slurmd would refuse that start.
        if [ "$(job_field "$plain" Reason)" = BeginTime ]; then
            sleep 1.1
            on ctl scontrol update jobid="$plain" starttime=now
        fi
    done) >/dev/null 2>&1 3>&- &
    nudger=$!
}

# What makes a job one that cannot be saved: a connection that nobody accepts.
unsaveable='python3 -c "import socket, time; l = socket.socket(); l.bind((\"\", 0)); l.listen(); c = socket.create_connection(l.getsockname()); time.sleep(600)" &'

# settled JOB: it is over, or somebody has to release it.
settled() { job_over "$1" || job_is "$1" PREEMPTED && [ "$(job_field "$1" EndTime)" != Unknown ] || job_held "$1"; }
job_held() { job_is "$1" PENDING && [[ $(job_field "$1" Reason) == *[Hh]eld* ]]; }

# end_way: waits for the end of both and stops watching. Sets states and accounting: what pollers saw
# of ours, sorted.
end_way() {
    local pid
    eventually "$patience" settled "$plain"
    eventually "$patience" settled "$ours"
    sleep 1
    for pid in "$squeue_poller" "$sacct_poller" "$nudger"; do
        pkill -P "$pid" 2>/dev/null || true
        kill "$pid" 2>/dev/null || true
    done
    states=$(sort -u "$BATS_TEST_TMPDIR/squeue" | paste -sd' ')
    accounting=$(sed 's/ *$//; s/^ *//' "$BATS_TEST_TMPDIR/sacct" | sort -u | paste -sd' ')
}

# outcome JOB NAME: what became of it, in the words of docs/operations/ways.md.
outcome() {
    local starts state
    starts=$(on ctl cat "/shared/alice/way/$2.starts" | wc -l)
    state=$(job_field "$1" JobState)
    if job_held "$1"; then echo held
    elif [ "$state" != COMPLETED ]; then echo "ends, $state"
    elif [ "$starts" -gt 1 ]; then echo "starts over"
    else echo "goes on"; fi
}

# The output of ours is that of a job that was never moved, to the byte.
output_is_whole() { diff <(seq "$rounds") <(on ctl cat /shared/alice/way/ours.out); }

# states_are_among STATE...: what squeue showed of ours. Slurm itself shows every job as SI for the
# instant in which it sends it a signal.
states_are_among() {
    local state
    for state in $states; do
        [[ " SI $* " == *" $state "* ]] || { echo "squeue showed $state; all: $states" >&2; return 1; }
    done
}

# way_ends NAME PLAIN OURS: compares, and keeps a line for the table.
way_ends() {
    end_way
    printf '%s\t%s\t%s\t%s\t%s\n' "$1" "$(outcome "$plain" plain)" "$(outcome "$ours" ours)" "$states" "$accounting" >>/tmp/ways.tsv
    printf '# %s: plain: %s; ours: %s; squeue: %s; sacct: %s\n' "$1" "$(outcome "$plain" plain)" "$(outcome "$ours" ours)" "$states" "$accounting" >&3
    assert_equal "$(outcome "$plain" plain)" "$2"
    assert_equal "$(outcome "$ours" ours)" "$3"
    [ "$3" != "goes on" ] || { output_is_whole; states_are_among R CG PD CF CD; }
}

# take_nodes [SBATCH-OPTION...]: an urgent job takes both nodes, and leaves them again.
take_nodes() {
    local urgent
    urgent=$(preempt n1,n2 "$@")
    eventually 60 job_is "$urgent" RUNNING
    alice scancel "$urgent"
}

# way_table: the table of docs/operations/ways.md, from what the tests have seen.
way_table() {
    printf '| way | plain Slurm | with --checkpoint |\n|---|---|---|\n'
    awk -F '\t' '{ printf "| %s | %s | %s |\n", $1, $2, $3 }' /tmp/ways.tsv
}

# signal_table: the other one, from what 30-signals has heard.
signal_table() {
    printf '| sent by | with Slurm alone | with --checkpoint |\n|---|---|---|\n'
    awk -F '\t' '{ printf "| %s | %s | %s |\n", $1, $2, $3 }' /tmp/signals.tsv
}
