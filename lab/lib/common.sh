# shellcheck shell=bash
# What every command of the lab shares on the host: the lab's name and places,
# messages, becoming root. Sourced after `set -eu`.

LAB=${LAB:-default}
src=$(cd "${BASH_SOURCE[0]%/*}/../.." && pwd -P)
cache=${HOLDFAST_LAB_CACHE:-/var/cache/holdfast-lab}
state=/run/holdfast-lab/$LAB
lab_nodes=(ctl n1 n2 n3 n4)

say() { printf 'lab: %s\n' "$*" >&2; }
die() { printf 'lab: %s\n' "$*" >&2; exit 1; }

case $LAB in
    *[!a-z0-9-]* | -* | ????????????????*)
        die "LAB=$LAB: a lab's name is at most 15 of a-z, 0-9 and -" ;;
esac

# Runs the calling script again as root. setpriv ties it to sudo's life: whoever
# kills sudo kills the lab.
as_root() {
    [ "$(id -u)" = 0 ] && return
    command -v sudo >/dev/null || die "root is needed: run this as root, or install sudo"
    exec sudo --preserve-env=LAB,HOLDFAST_LAB_CACHE,HOLDFAST_LAB_MIRROR,CI setpriv --pdeathsig KILL "$0" "$@"
}

# Runs the rest of the calling script in a process group of its own and passes signals
# on to all of it. A shell by itself answers SIGTERM only when its command in the
# foreground ends; Ctrl-C at a terminal always was for all.
in_own_group() {
    local child signal status=0
    [ -z "${HOLDFAST_LAB_GROUP:-}" ] || { unset HOLDFAST_LAB_GROUP; return 0; }
    set -m
    HOLDFAST_LAB_GROUP=1 setpriv --pdeathsig KILL "$0" "$@" </dev/null &
    child=$!
    set +m
    for signal in INT TERM HUP; do
        # shellcheck disable=SC2064 # child is known now
        trap "kill -$signal -- -$child 2>/dev/null || true" "$signal"
    done
    # A signal ends a wait, but not what was waited for.
    while kill -0 "$child" 2>/dev/null; do
        status=0
        wait "$child" || status=$?
    done
    exit "$status"
}

# need COMMAND PACKAGE: installs PACKAGE on the host if COMMAND is not there.
need() {
    command -v "$1" >/dev/null && return
    command -v apt-get >/dev/null || die "$1 is needed and not installed, and this host has no apt-get to install it with"
    say "installing $2 on this host (for $1)"
    [ -n "${apt_updated:-}" ] || apt-get update -qq
    apt_updated=1
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >&2 ||
        die "installing $2: apt-get failed; its messages are above"
}

# timed NAME COMMAND...: runs COMMAND and keeps how long it took for `timings`.
phase_times=()
timed() {
    local name=$1 begin=$EPOCHREALTIME
    shift
    "$@"
    phase_times+=("$(awk -v n="$name" -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "%s %.1f s", n, b - a }')")
}
timings() {
    local IFS=,
    say "took${phase_times[*]/#/ }"
}

# The lock is held by the processes of a running lab and by nothing else.
lab_running() {
    [ -e "$state/lock" ] && ! flock --nonblock --shared "$state/lock" true
}
