# shellcheck shell=bash
# The ways in which Slurm takes a job from its nodes, each tried with eight jobs at once. Two are
# plain Slurm's, on n1. Of Holdfast, on n2 and n3, there are one that can be saved when its nodes are
# taken, one that was saved before and cannot be then, and one that never could be. Each is there
# with --requeue and with --no-requeue. What becomes of ours is compared with what becomes of Slurm's,
# and so is what somebody sees who asks Slurm for states all the time.

kinds=(plain saveable saved unsaveable)
declare -gA jobs said place=([plain.yes]=n1 [plain.no]=n1 [saveable.yes]=n2 [saveable.no]=n2
    [saved.yes]=n2 [saved.no]=n3 [unsaveable.yes]=n3 [unsaveable.no]=n3)

# The jobs count a tenth of a second a line, halfway until they are let go on.
rounds=40
# Seconds until all are over.
patience=120

# each FUNCTION [ARGUMENT...]: calls it with the name of each of them, and these.
each() {
    local kind
    for kind in "${kinds[@]}"; do "$1" "$kind.yes" "${@:2}" && "$1" "$kind.no" "${@:2}" || return 1; done
}

way=/shared/alice/way # the hub has it, too

# begin_way [SBATCH-OPTION...]: submits all of them, and waits until they are what they are to be.
# `options` is an array of more options for ours.
begin_way() {
    local name
    on ctl scancel --quiet --user=alice # what a test that failed has left
    eventually 60 no_jobs
    rm -rf $way
    on ctl install -d -o alice -g alice $way
    cat >$way/count.sh <<END
#!/bin/bash
name=\$1
pause() {
    if [ -z "\$hindered" ] && [ -e way/\$name.hinder ] && [ ! -e way/\$name.hindered ]; then
        python3 way/hinder.py way/\$name.hindered &
        hindered=1
    fi
    sleep 0.1
}
echo start >>way/\$name.starts
for i in {1..$rounds}; do
    echo \$i
    pause
    while [ \$i = $((rounds / 2)) ] && [ ! -e way/go ]; do pause; done
    if [ -e way/\$name.command ]; then
        mv way/\$name.command way/\$name.done
        . way/\$name.done
    fi
done
END
    # A connection that nobody accepts.
    cat >$way/hinder.py <<END
import socket, sys, time
listener = socket.socket()
listener.bind(("", 0))
listener.listen()
connection = socket.create_connection(listener.getsockname())
open(sys.argv[1], "w")
time.sleep(600)
END
    jobs=()
    while read -r name job; do jobs[$name]=$job; done < <(each submission "$@" | alice bash)
    all=$(IFS=,; echo "${jobs[*]}")
    eventually 120 all_count || return 1
    save_before saved.yes &
    save_before saved.no
    wait $!
    for name in saved.yes saved.no unsaveable.yes unsaveable.no; do touch "$way/$name.hinder"; done
    for name in saved.yes saved.no unsaveable.yes unsaveable.no; do eventually 120 test -e "$way/$name.hindered"; done
    watched=$(mktemp "$way/watched.XXXXXX")
    chmod a+r "$watched"
    alice env -C / sh -c "while [ -e $watched ]; do squeue -h -t all -j $all -o '%i %t'; sleep 0.1; done" >"$BATS_TEST_TMPDIR/squeue" 2>/dev/null 3>&- &
    alice env -C / sh -c "while [ -e $watched ]; do sacct -X -n -P -j $all -o JobID,State; sleep 0.3; done" >"$BATS_TEST_TMPDIR/sacct" 2>/dev/null 3>&- &
    (while [ -e "$watched" ]; do nudge; sleep 0.5; done) >/dev/null 2>&1 3>&- &
}
# Whoever watches the jobs does so as long as there is this file.
watched=
stop_watching() { rm -f "$watched"; }
teardown() { stop_watching; } # of a test that has failed; bats waits for all that it has started

# The command that submits it, and prints its name and id.
submission() { # NAME SBATCH-OPTION...
    local name=$1 more=(--requeue)
    shift
    [[ $name = *.yes ]] || more=(--no-requeue)
    [[ $name = plain.* ]] || more+=(--checkpoint "${options[@]}")
    echo "echo $name \$(sbatch --parsable -n 1 -w ${place[$name]} -o way/$name.out ${more[*]} $* way/count.sh $name)"
}
all_count() { [ "$(grep -lx 5 $way/*.out 2>/dev/null | wc -l)" = ${#jobs[@]} ]; }
save_before() { alice holdfast save "${jobs[$1]}" 3>&-; }

# Slurm leaves a requeued job waiting for two minutes, and ours too if they can go nowhere but to a
# node that was lost; nobody wants to watch that. Not while slurmd has something of it: it would refuse
# to start it, or end it when slurmctld asks once more for the end of the start before. Nor while the
# coordinator waits for that.
nudged=(plain.yes plain.no)
declare -gA waits_since=()
nudge() {
    local name waiting
    waiting=$(on ctl squeue -h -j "$all" -t pending -o '%i/%r')
    for name in "${nudged[@]}"; do
        [[ $waiting = *"${jobs[$name]}/BeginTime"* ]] || { unset "waits_since[$name]"; continue; }
        [ $((SECONDS - ${waits_since[$name]:=$SECONDS})) -ge 6 ] || continue
        ! on "${place[$name]}" pgrep -f "slurmstepd: \[${jobs[$name]}\." || continue
        ! alice holdfast show "${jobs[$name]}" | grep "^job .*: leaving" || continue
        on ctl scontrol update jobid="${jobs[$name]}" starttime=now || true # Slurm was faster
    done
}

# Lets the jobs go on to their end.
go() { touch $way/go; }

# all_do COMMAND: in the script of each of them, soon.
all_do() {
    local name
    for name in "${!jobs[@]}"; do echo "$1" >"$way/$name.command"; done
}

# look: sets what Slurm says of all jobs now, by id and field.
look() {
    local job field value
    while read -r job field value; do said[$job.$field]=$value; done < <(on ctl scontrol show job --oneliner | awk '{
        for (i = 2; i <= NF; i++)
            if ($i ~ /^(JobState|Reason|Restarts|PreemptTime|EndTime)=/) { split($i, f, "="); print substr($1, 7), f[1], f[2] } }')
}
of() { echo "${said[${jobs[$1]}.$2]}"; } # NAME FIELD

# By what was said last: Slurm has begun to take it from its nodes; somebody holds it; it is over, or
# held.
is_taken() { [ "$(of "$1" JobState)" != RUNNING ] || [ "$(of "$1" Restarts)" != 0 ] || [[ $(of "$1" PreemptTime) = 2* ]]; }
is_held() { [ "$(of "$1" JobState)" = PENDING ] && [[ $(of "$1" Reason) = *[Hh]eld* ]]; }
is_settled() {
    case $(of "$1" JobState) in
        PENDING) is_held "$1" ;;
        RUNNING | COMPLETING | SUSPENDED | CONFIGURING | REQUEUED) return 1 ;;
        *) [ "$(of "$1" EndTime)" != Unknown ] ;;
    esac
}
# wait_until SECONDS FUNCTION NAME...: is true of all of these.
wait_until() {
    eventually "$1" all_are "${@:2}" || { on ctl squeue -t all -j "$all" -o "%i %t %r %N %Z" >&2; return 1; }
}
all_are() { # FUNCTION NAME...
    local name
    look
    for name in "${@:2}"; do "$1" "$name" || return 1; done
}

# end_way: waits for the end of all and stops watching.
end_way() {
    wait_until "$patience" is_settled "${!jobs[@]}"
    sleep 1
    stop_watching
}

# squeue_saw NAME, sacct_saw NAME: the states that they showed of it.
squeue_saw() { sed -n "s/^${jobs[$1]} //p" "$BATS_TEST_TMPDIR/squeue" | sort -u | paste -sd' '; }
sacct_saw() { sed -n "s/^${jobs[$1]}|//p" "$BATS_TEST_TMPDIR/sacct" | sed 's/ by .*//' | sort -u | paste -sd' '; }

# outcome NAME: what became of it, in the words of docs/operations/ways.md.
outcome() {
    if is_held "$1"; then echo held
    elif [ "$(of "$1" JobState)" != COMPLETED ]; then echo "ends, $(of "$1" JobState)"
    elif [ "$(starts_of "$1")" -gt 1 ]; then echo "starts over"
    else echo "goes on"; fi
}
outcomes() { # KIND
    local yes no
    yes=$(outcome "$1.yes") no=$(outcome "$1.no")
    if [ "$yes" = "$no" ]; then echo "$yes"; else echo "$yes / $no"; fi
}
starts_of() { wc -l <"$way/$1.starts"; }

# The output of ours is that of a job that was never moved, to the byte, but for the line that says
# that it starts over.
output_is_whole() {
    diff <(seq "$rounds") <(grep -v '^holdfast: .* starts over' "$way/$1.out") || {
        echo "that is the output of $1" >&2
        return 1
    }
}

# states_are_among NAME STATE...: what squeue showed of it. Slurm itself shows every job as SI for
# the instant in which it sends it a signal.
states_are_among() {
    local state
    for state in $(squeue_saw "$1"); do
        [[ " SI ${*:2} " == *" $state "* ]] || {
            echo "squeue showed $1 as $state; all: $(squeue_saw "$1")" >&2
            return 1
        }
    done
}

# What one of ours must have left, given what became of it.
is_right() { # NAME
    [[ $1 != plain.* ]] || return 0
    case $(outcome "$1") in
        "goes on") output_is_whole "$1" && states_are_among "$1" R CG PD CF CD S ;;
        "starts over") output_is_whole "$1" ;;
        *) [ "$(starts_of "$1")" = 1 ] ;;
    esac
}

# way_ends NAME PLAIN SAVEABLE SAVED UNSAVEABLE: lets them go on, compares what becomes of them, that
# with --requeue / that with --no-requeue if they differ, and keeps a line for the table.
way_ends() {
    local title=$1 kind name seen=()
    shift
    go
    end_way
    for kind in "${kinds[@]}"; do seen+=("$(outcomes "$kind")"); done
    (IFS=$'\t'; echo "$title	${seen[*]}") >>/tmp/ways.tsv
    (IFS=';'; echo "# $title: ${seen[*]}") >&3
    for name in saveable.yes saved.no; do echo "#   $name: squeue: $(squeue_saw $name); sacct: $(sacct_saw $name)" >&3; done
    assert_equal "$(printf '%s\n' "${seen[@]}")" "$(printf '%s\n' "$@")"
    each is_right
    on ctl scancel --quiet "${jobs[@]}"
}

# take_nodes [SBATCH-OPTION...]: an urgent job takes all nodes, and leaves them again.
take_nodes() {
    local urgent
    urgent=$(preempt n1,n2,n3 "$@")
    wait_until 60 is_taken plain.yes
    leave_nodes "$urgent"
}
# leave_nodes JOB: lets the others go on, and when that one has got its nodes, it ends.
leave_nodes() {
    go
    eventually 100 job_is "$1" RUNNING
    alice scancel "$1"
}

# with_slurm_settings LINE...: of slurm.conf, until without_slurm_settings.
with_slurm_settings() {
    local node
    for node in ctl n1 n2 n3 n4; do
        on "$node" cp /etc/slurm/slurm.conf /etc/slurm/slurm.conf.site
        printf '%s\n' "$@" | on "$node" tee -a /etc/slurm/slurm.conf >/dev/null
    done
    on ctl scontrol reconfigure
}
without_slurm_settings() {
    local node
    on ctl test -e /etc/slurm/slurm.conf.site || return 0
    for node in ctl n1 n2 n3 n4; do on "$node" mv /etc/slurm/slurm.conf.site /etc/slurm/slurm.conf; done
    on ctl scontrol reconfigure
}

# way_table: the table of docs/operations/ways.md, from what the tests have seen.
way_table() {
    printf '| way | plain Slurm | can be saved | was saved before | was never saved |\n|---|---|---|---|---|\n'
    awk -F '\t' '{ printf "| %s | %s | %s | %s | %s |\n", $1, $2, $3, $4, $5 }' /tmp/ways.tsv
}

# signal_table: the other one, from what 30-signals has heard.
signal_table() {
    printf '| sent by | with Slurm alone | with --checkpoint |\n|---|---|---|\n'
    awk -F '\t' '{ printf "| %s | %s | %s |\n", $1, $2, $3 }' /tmp/signals.tsv
}
