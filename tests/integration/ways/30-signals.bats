# Signals: who gets which, beside a job of plain Slurm. Makes the table of docs/operations/ways.md.

load ../lib
load ways

setup_file() {
    idle_cluster
    : >/tmp/signals.tsv
}
setup() {
    on ctl sh -c 'rm -f /shared/alice/*.heard /shared/alice/end-*; cp /src/tests/integration/ways/listen.py /shared/alice'
    slurm_conf=
}
teardown() {
    alice scancel -u alice
    [ -z "$slurm_conf" ] || { on ctl sed -i /send_user_signal/d /etc/slurm/slurm.conf; on ctl scontrol reconfigure; }
}

# listening NAME NODE SBATCH-OPTION...: submits a job that listens, and prints its id once its script,
# the script's child and a step do.
listening() {
    local name=$1 node=$2
    shift 2
    alice sbatch --parsable -J "$name" -n 1 -w "$node" -o /dev/null "$@" listen.py "$name"
    eventually 30 all_listen "$name"
}
all_listen() { [ "$(on ctl sh -c "cat /shared/alice/$1.heard" 2>/dev/null | grep -c ready)" = 3 ]; }

# both SBATCH-OPTION...: one of plain Slurm on n1 and one of ours on n2.
both() {
    plain=$(listening plain n1 "$@")
    ours=$(listening ours n2 --checkpoint "$@")
}
# heard NAME: who got what, in the words of docs/operations/ways.md.
heard() {
    on ctl sort -u "/shared/alice/$1.heard" | awk '$2 != "ready" { got[$1] = got[$1] " " $2 }
        END { n = split("script child step", roles)
              for (i = 1; i <= n; i++) if (got[roles[i]]) { printf "%s%s:%s", separator, roles[i], got[roles[i]]; separator = "; " }
              if (!separator) printf "nobody" }'
}

# row NAME same|nobody: keeps a line for the table, and compares.
row() {
    sleep 1
    printf '%s\t%s\t%s\n' "$1" "$(heard plain)" "$(heard ours)" >>/tmp/signals.tsv
    printf '# %s: plain: %s; ours: %s\n' "$1" "$(heard plain)" "$(heard ours)" >&3
    case $2 in
        same) assert_equal "$(heard ours)" "$(heard plain)" ;;
        nobody) assert_equal "$(heard ours)" nobody ;;
    esac
}
each() {
    local job
    for job in "$plain" "$ours"; do "$@" "$job"; done
}
hears() { [ "$(heard "$1")" != nobody ]; }
# preempted saved|unsaveable: both have been; ours runs again if it was saved.
preempted() {
    local urgent
    urgent=$(preempt n1,n2)
    # Those that Slurm leaves some time end by themselves, once they have heard what they hear.
    eventually 30 hears plain
    sleep 1
    alice touch end-plain
    [ "$1" = saved ] || { eventually 60 hears ours && sleep 1 && alice touch end-ours; }
    eventually 60 job_is "$urgent" RUNNING
    alice scancel "$urgent"
    [ "$1" != saved ] || wait_for_restart "$ours" 1
}

@test "scancel --signal" {
    both -p nograce
    each alice scancel --signal=USR1
    row "scancel --signal=USR1" same
}

@test "scancel --batch --signal" {
    both -p nograce
    each alice scancel --batch --signal=USR1
    row "scancel --batch --signal=USR1" same
}

@test "scancel --full --signal" {
    both -p nograce
    each alice scancel --full --signal=USR1
    row "scancel --full --signal=USR1" same
}

@test "scancel" {
    both -p nograce
    each alice scancel
    row "scancel" same
}

@test "scontrol suspend and resume" {
    both -p nograce
    on ctl scontrol suspend "$plain,$ours"
    sleep 4
    on ctl scontrol resume "$plain,$ours"
    row "scontrol suspend, resume" same
}

@test "preempted without a grace time: nobody gets anything if the job is saved" {
    both -p nograce
    preempted saved
    row "preemption, GraceTime=0, saved" nobody
}

@test "preempted with a grace time: nobody gets anything if the job is saved" {
    both -p spot
    preempted saved
    row "preemption, GraceTime=60, saved" nobody
}

@test "preempted, and it cannot be saved: as with Slurm alone" {
    both -p nograce --export=ALL,UNSAVEABLE=1
    preempted unsaveable
    row "preemption, GraceTime=0, unsaveable" same
}

preempt_with_the_users_signal() {
    slurm_conf=changed
    on ctl sed -i '/^PreemptMode=/i PreemptParameters=send_user_signal' /etc/slurm/slurm.conf
    on ctl scontrol reconfigure
    eventually 20 on ctl sh -c 'scontrol show config | grep -q "PreemptParameters.*send_user_signal"'
}

@test "the user's signal at a preemption" {
    preempt_with_the_users_signal
    both -p spot --signal=B:USR2@30
    preempted saved
    row "preemption, GraceTime=60, --signal=B:USR2 and send_user_signal, saved" nobody
}

@test "the user's signal at a preemption, and it cannot be saved" {
    preempt_with_the_users_signal
    both -p spot --signal=B:USR2@30 --export=ALL,UNSAVEABLE=1
    preempted unsaveable
    row "preemption, GraceTime=60, --signal=B:USR2 and send_user_signal, unsaveable" same
}

@test "the job's --signal before its time limit" {
    both -p nograce -t 1 --signal=B:USR2@50
    each eventually 120 job_is_timeout
    row "before the time limit, --signal=B:USR2" same
}
job_is_timeout() { job_is "$1" TIMEOUT; }

@test "the same for its steps" {
    both -p nograce -t 1 --signal=USR2@50
    each eventually 120 job_is_timeout
    row "before the time limit, --signal=USR2" same
}

@test "Ctrl-C to sbatch --wait" {
    for job in "plain -w n1" "ours -w n2 --checkpoint"; do
        # shellcheck disable=SC2086
        alice sbatch --wait -n 1 -p nograce -o /dev/null -J $job listen.py "${job%% *}" >/dev/null 2>&1 3>&- &
        eventually 30 all_listen "${job%% *}"
        on ctl pkill -INT -f -- "--wait .* -J ${job%% *}"
    done
    row "Ctrl-C to sbatch --wait" same
}
