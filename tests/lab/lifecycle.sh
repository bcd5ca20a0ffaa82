#!/bin/bash
# lifecycle.sh [FILTER]: a lab leaves nothing behind, however it ends, and two run side by side.
# Prints TAP. Run by `lab/test lab`, as root.
set -u
filter=${1:-.}
lab=$(cd "${0%/*}/../../lab" && pwd -P)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# traces NAME: what is left of a lab, one line each.
traces() {
    local cgroup
    [ ! -e "/run/holdfast-lab/$1" ] || echo "state /run/holdfast-lab/$1"
    for cgroup in /sys/fs/cgroup/holdfast-lab-"$1" /sys/fs/cgroup/*/holdfast-lab-"$1"; do
        [ ! -e "$cgroup" ] || echo "cgroup $cgroup"
    done
    grep -h "holdfast-lab/$1/" /proc/self/mounts || true
    pgrep -a -f "lib/(outer-init|janitor) $1( |\$)" || true
}
# gone NAME: nothing is left, within the time that the janitor may take.
gone() {
    for _ in $(seq 150); do
        [ -n "$(traces "$1")" ] || return 0
        sleep 0.1
    done
    traces "$1"
    return 1
}
# interfaces: of the host; the labs' are in their own namespaces.
interfaces() { ls /sys/class/net; }
until_file_has() {
    for _ in $(seq 600); do
        ! grep -q "$2" "$1" || return 0
        sleep 0.1
    done
    cat "$1"
    return 1
}

two_at_once() {
    local first second failed=0
    LAB=twin-a "$lab/up" --plain >"$scratch/a" 2>&1 &
    first=$!
    LAB=twin-b "$lab/up" --plain >"$scratch/b" 2>&1 &
    second=$!
    { wait "$first" && wait "$second"; } || { cat "$scratch/a" "$scratch/b"; failed=1; }
    for name in twin-a twin-b; do
        [ "$(LAB=$name "$lab/sh" -u alice ctl srun -N4 hostname | sort | paste -sd' ')" = 'n1 n2 n3 n4' ] || failed=1
    done
    LAB=twin-a "$lab/sh" n1 touch /tmp/only-in-a
    ! LAB=twin-b "$lab/sh" n1 ls /tmp/only-in-a 2>/dev/null || failed=1
    # One ends, the other works on.
    LAB=twin-a "$lab/down" && gone twin-a || failed=1
    [ "$(LAB=twin-b "$lab/sh" -u alice ctl srun -N1 echo fine)" = fine ] || failed=1
    LAB=twin-b "$lab/down" && gone twin-b || failed=1
    return $failed
}

# ended_by SIGNAL WAY: a lab of lab/test that gets SIGNAL while its cluster runs. WAY is
# `command`, the pid that a user sees, or `terminal`, all of its process group.
ended_by() {
    local pid target name
    set -m
    "$lab/test" main 'four nodes' >"$scratch/out" 2>&1 &
    pid=$!
    set +m
    until_file_has "$scratch/out" '^1\.\.' || { kill "$pid"; return 1; }
    name=$(for dir in /run/holdfast-lab/test-*/; do [ -d "$dir" ] && basename "$dir"; done | tail -n 1)
    [ -n "$name" ] || { echo "no lab of lab/test is up"; return 1; }
    target=$pid
    [ "$2" = command ] || target=-$pid
    kill -s "$1" -- "$target"
    wait "$pid"
    gone "$name"
}
interrupted() { ended_by INT terminal; }
terminated() { ended_by TERM command; }
killed() { ended_by KILL command; }

names=("two labs run side by side and end one by one" "Ctrl-C leaves nothing behind"
    "SIGTERM leaves nothing behind, at once" "kill -9 leaves nothing behind")
tests=(two_at_once interrupted terminated killed)
chosen=()
for i in "${!tests[@]}"; do [[ ! ${names[i]} =~ $filter ]] || chosen+=("$i"); done
echo "1..${#chosen[@]}"
number=0
for i in "${chosen[@]}"; do
    number=$((number + 1))
    before=$(interfaces)
    if "${tests[i]}" >"$scratch/log" 2>&1 && [ "$(interfaces)" = "$before" ]; then
        echo "ok $number ${names[i]}"
    else
        echo "not ok $number ${names[i]}"
        sed 's/^/# /' "$scratch/log"
    fi
done
