# shellcheck shell=bash
# The same script as a job of plain Slurm and as a checkpointed one: what they print and how they
# end must be alike.

# both_ways SCRIPT: runs it in /shared/alice/off, then on the same nodes in /shared/alice/on, with
# the options in the line "# sbatch:" of the script, and compares output, stderr, files and ends.
both_ways() {
    local way jobs=() options script=$BATS_TEST_DIRNAME/srun/$1
    read -ra options < <(sed -n 's|^# sbatch: ||p' "$script")
    for way in off on; do
        on ctl rm -rf "/shared/alice/$way"
        on ctl install -d -o alice -g alice "/shared/alice/$way"
        on ctl sh -c "cat >/shared/alice/$way/job.sh" <"$script"
        jobs+=("$(as alice ctl env -C "/shared/alice/$way" sbatch --parsable --checkpoint="$way" \
            --time=5 --nodelist=n[1-2] "${options[@]}" --output=out --error=err job.sh)")
    done
    for way in off on; do
        wait_for_end "${jobs[0]}" 180
        on ctl scontrol show job "${jobs[0]}" --oneliner | grep -oE '(JobState|ExitCode)=[^ ]*' >"$BATS_TEST_TMPDIR/$way"
        on ctl sh -c "cd /shared/alice/$way && rm -f job.sh && for f in *; do echo \"== \$f\"; cat \"\$f\"; done" |
            settled "${jobs[0]}" >>"$BATS_TEST_TMPDIR/$way"
        jobs=("${jobs[@]:1}")
    done
    diff -a -u "$BATS_TEST_TMPDIR/off" "$BATS_TEST_TMPDIR/on" >&2
}

# settled JOB <OUTPUT: without what differs between two runs of anything: the job's number, times,
# process ids; and srun's word that it had to wait, which depends on how fast Slurm noticed an end.
settled() {
    sed -E -e "s/\b$1\b/JOB/g" -e 's|/shared/alice/(off\|on)|DIRECTORY|g' -e '/Step created for StepId=/d' \
        -e 's/CANCELLED AT [-0-9T:]+/CANCELLED AT TIME/' -e 's/(task +[0-9]+ +[0-9]+) \[[0-9]+\]/\1 [PID]/'
}
