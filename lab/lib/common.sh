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
