# shellcheck shell=bash
# The lab's cgroups on the host: one directory, holdfast-lab-NAME, at the top of
# each hierarchy the lab uses. Everything else in the hierarchies is left alone.

# Prints the mount points of the hierarchies used: the one v2 hierarchy, or on
# hosts with v1 controllers (hybrid ones too) those of Slurm's cgroup/v1.
cgroup_mounts() {
    local c
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        echo /sys/fs/cgroup
        return
    fi
    for c in freezer memory cpuset cpu cpuacct; do
        [ -d "/sys/fs/cgroup/$c" ] || { echo "cgroup v1 controller $c is not mounted in /sys/fs/cgroup" >&2; return 1; }
        (cd -P "/sys/fs/cgroup/$c" && pwd)
    done | sort -u
}

# cgroup_make DIR: makes a cgroup for processes.
cgroup_make() {
    mkdir -p "$1"
    if [ -e "$1/cpuset.cpus" ] && [ ! -e "$1/cgroup.controllers" ]; then
        cat "$1/../cpuset.cpus" >"$1/cpuset.cpus"
        cat "$1/../cpuset.mems" >"$1/cpuset.mems"
    fi
}

# cgroup_make_inner DIR: makes a cgroup for cgroups, which may use every controller.
cgroup_make_inner() {
    local c
    cgroup_make "$1"
    [ -e "$1/cgroup.controllers" ] || return 0
    for c in $(cat "$1/cgroup.controllers"); do
        echo "+$c" >"$1/cgroup.subtree_control"
    done
}

# cgroups_remove NAME: removes what a lab left; its processes must be gone or
# going. Fails if something is still in there after ten seconds.
cgroups_remove() {
    local mount dir
    for _ in $(seq 100); do
        for mount in $(cgroup_mounts); do
            dir=$mount/holdfast-lab-$1
            [ ! -d "$dir" ] || find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null || true
            [ ! -d "$dir" ] || { sleep 0.1; continue 2; }
        done
        return 0
    done
    return 1
}
