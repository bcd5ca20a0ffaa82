# shellcheck shell=bash
# Starting and ending a lab. Needs common.sh, root.sh and cgroups.sh.
#
# A running lab is one process tree in a pid namespace: its init dies, all dies,
# and the kernel takes mounts and interfaces with it. What is left is the cgroups
# and the state directory. The janitor, a process outside the namespace, waits
# for the lab's lock to come free, which happens when the last of its processes
# is gone, however it went, and removes both.

# lab_start background|foreground: boots the lab, returns when its nodes are idle.
# A foreground lab dies with the calling shell, whatever ends that.
lab_start() {
    local tie=() line mount
    lab_lock
    cgroups_remove "$LAB" || die "cgroups of an earlier lab $LAB still have processes in them"
    for mount in $(cgroup_mounts); do cgroup_make_inner "$mount/holdfast-lab-$LAB"; done
    setsid --fork "$src/lab/lib/janitor" "$LAB" 7<&- 8<&- 9<&- >/dev/null 2>&1 </dev/null

    [ "$1" = background ] || tie=(setpriv --pdeathsig KILL)
    mkfifo "$state/messages"
    setsid "${tie[@]}" unshare --pid --mount --net --uts --ipc --fork --kill-child=KILL \
        "$src/lab/lib/outer-init" "$LAB" "$root_dir" "${build_dir:-}" \
        </dev/null >"$state/messages" 2>&1 8<&- &
    exec 9>&- # now the lab's processes alone hold the lock
    while read -r line; do
        [ "$line" != ready ] || { rm "$state/messages"; return 0; }
        printf '%s\n' "$line" >&2
    done <"$state/messages"
    lab_stop
    die "lab $LAB did not come up; the messages above say why"
}

# Takes the lab's lock (fd 9), waiting for the janitor of an earlier one.
lab_lock() {
    for _ in $(seq 200); do
        mkdir -p "$state"
        exec 9>"$state/lock"
        if flock --nonblock 9 && [ "$state/lock" -ef /proc/self/fd/9 ]; then return; fi
        [ ! -e "$state/pid" ] || die "lab $LAB is already up; lab/down ends it, LAB=NAME starts another"
        sleep 0.1
    done
    die "starting lab $LAB: an earlier one is still being cleaned up: see $state"
}

# keep_logs NAME: the nodes' logs, for whoever looks into a failure.
keep_logs() {
    local out=$src/out/$1
    rm -rf "$out"
    mkdir -p "$out"
    "$src/lab/sh" hub /src/lab/lib/logs | tar -C "$out" -xf -
    say "the nodes' logs are in $out"
}

# Ends the lab and waits until nothing is left of it.
lab_stop() {
    local pid
    if lab_running && pid=$(cat "$state/pid" 2>/dev/null); then
        kill -KILL "$pid" 2>/dev/null || true
    else # its janitor may have been killed with it
        "$src/lab/lib/janitor" "$LAB" 2>/dev/null || true
    fi
    for _ in $(seq 300); do
        [ -d "$state" ] || return 0
        sleep 0.05
    done
    die "ending lab $LAB: something of it is left after 15 s: see $state and ps -ef"
}
