# shellcheck shell=bash
# Helpers for the integration tests, which run on the lab's hub, from where every
# node can be reached. A file begins with `load ../lib`.

bats_require_minimum_version 1.5.0

# on NODE COMMAND...: as root. `as USER NODE COMMAND...`: as somebody else.
on() { /src/lab/lib/node "$@"; }
as() {
    local user=$1 node=$2
    shift 2
    /src/lab/lib/node "$node" -u "$user" "$@"
}

# alice COMMAND...: as alice on ctl, in her directory on the shared disk.
alice() { as alice ctl env -C /shared/alice "$@"; }

setup_file() { idle_cluster; }

# Brings the cluster to rest: no jobs, all nodes up and idle, empty directories.
idle_cluster() {
    local node
    for node in n1 n2 n3 n4; do
        on "$node" true 2>/dev/null || /src/lab/lib/node-start "$node"
    done
    on ctl scancel --user=alice --quiet || true
    on ctl scancel --user=bob --quiet || true
    eventually 60 no_jobs
    on ctl scontrol update nodename=n[1-4] state=resume 2>/dev/null || true
    /src/lab/lib/wait-idle 60
    on ctl /src/lab/lib/coordinator status || on ctl /src/lab/lib/coordinator start
    on ctl rm -rf /shared/alice
    on ctl install -d -o alice -g alice -m 755 /shared/alice
}

# with_checkpoint_setting LINE: adds a line to the section `checkpoint` of every holdfast.yaml;
# without_checkpoint_settings takes all those back. Both restart the coordinator.
with_checkpoint_setting() {
    local node
    for node in ctl n1 n2 n3 n4; do
        on "$node" cp --update=none /etc/holdfast/holdfast.yaml /etc/holdfast/holdfast.yaml.site
        on "$node" sed -i "/^checkpoint:/a\\  $1" /etc/holdfast/holdfast.yaml
    done
    restart_coordinator
}
without_checkpoint_settings() {
    local node
    on ctl test -e /etc/holdfast/holdfast.yaml.site || return 0
    for node in ctl n1 n2 n3 n4; do
        on "$node" mv /etc/holdfast/holdfast.yaml.site /etc/holdfast/holdfast.yaml
    done
    restart_coordinator
}
restart_coordinator() {
    on ctl /src/lab/lib/coordinator stop
    on ctl /src/lab/lib/coordinator start
}

# ckpt JOB: where its checkpoints are, below /shared/alice/ckpt. No such file, if they are gone.
ckpt() { echo /shared/alice/ckpt/lab-"$1"-*; }

no_jobs() { [ -z "$(on ctl squeue --noheader)" ]; }

# eventually SECONDS COMMAND...: until COMMAND succeeds, ten times a second.
eventually() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        if [ "$SECONDS" -ge "$end" ]; then
            echo "not in time: $*" >&2
            return 1
        fi
        sleep 0.1
    done
}

# submit [SBATCH-OPTION...] <SCRIPT: as alice; prints the job's id.
submit() { alice sbatch --parsable "$@"; }

# job_field JOB FIELD: one field of `scontrol show job`, or nothing.
job_field() { on ctl scontrol show job "$1" --oneliner 2>/dev/null | tr ' ' '\n' | sed -n "s/^$2=//p"; }

job_is() { [ "$(job_field "$1" JobState)" = "$2" ]; }

# wait_for_state JOB STATE [SECONDS]
wait_for_state() {
    eventually "${3:-60}" job_is "$1" "$2" || {
        on ctl scontrol show job "$1" >&2
        return 1
    }
}

# wait_for_end JOB [SECONDS]: until the job is over, however it went.
job_over() { [[ $(job_field "$1" JobState) =~ ^(COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL|OUT_OF_MEMORY|)$ ]]; }
wait_for_end() { eventually "${2:-120}" job_over "$1"; }

# wait_for_text FILE TEXT [SECONDS]: until a file on the shared disk has TEXT in it.
file_has() { on ctl grep -qF -- "$2" "$1" 2>/dev/null; }
wait_for_text() {
    eventually "${3:-60}" file_has "$1" "$2" || {
        on ctl tail "$1" >&2
        return 1
    }
}

# printed FILE: a job's output, without what PRRTE says if the agent that it starts is faster than
# itself: it wants to set the process group of a child that is another program already.
printed() { on ctl grep -v 'plm:ssh: Warning: setpgid' "$1"; }

# assert_equal ACTUAL EXPECTED; assert_contains TEXT PART
assert_equal() {
    [ "$1" = "$2" ] || { printf 'expected: %s\nbut got:  %s\n' "$2" "$1" >&2; return 1; }
}
assert_contains() {
    [[ $1 == *"$2"* ]] || { printf 'expected to find: %s\nin: %s\n' "$2" "$1" >&2; return 1; }
}

# assert_run STATUS COMMAND...: runs it, with stderr, and compares the exit status (`!`: any but 0);
# $output has what it printed.
assert_run() {
    local want=$1
    shift
    run "$@"
    # shellcheck disable=SC2154 # set by run
    [ "$status" = "$want" ] || { [ "$want" = ! ] && [ "$status" != 0 ]; } || { printf '%s\nexit status %s, expected %s, printed:\n%s\n' "$*" "$status" "$want" "$output" >&2; return 1; }
}

# --- checkpointed jobs

examples=/usr/share/holdfast/examples

# details JOB FILTER: of what the coordinator knows of the job, as alice sees it, by jq.
details() { alice holdfast show "$1" --json | jq -r "$2"; }
details_are() { [ "$(details "$1" "$2")" = "$3" ]; }

# committed JOB: how many checkpoints the job has.
committed() { details "$1" '[.checkpoints[] | select(.state == "committed")] | length'; }

# preempt NODES [SBATCH-OPTION...]: an urgent job that takes these nodes, held for as long as it lives;
# prints its id.
preempt() {
    local nodes=$1
    shift
    alice sbatch --parsable --partition=urgent --nodelist="$nodes" --exclusive --output=/dev/null "$@" --wrap 'sleep 1000'
}

# restarted JOB N: it has been requeued N times and runs.
restarted() { [ "$(job_field "$1" Restarts)" = "$2" ] && job_is "$1" RUNNING && details_are "$1" .state running; }
wait_for_restart() {
    eventually "${3:-60}" restarted "$1" "$2" || {
        on ctl scontrol show job "$1" >&2
        alice holdfast show "$1" >&2
        return 1
    }
}

# move JOB: preempts it where it runs, waits until it runs elsewhere, frees the nodes again.
move() {
    local job=$1 nodes restarts urgent
    nodes=$(job_field "$job" NodeList)
    restarts=$(job_field "$job" Restarts)
    urgent=$(preempt "$nodes")
    wait_for_restart "$job" $((restarts + 1))
    [ "$(job_field "$job" NodeList)" != "$nodes" ] || { echo "job $job is on $nodes again" >&2; return 1; }
    alice scancel "$urgent"
    wait_for_end "$urgent"
}
