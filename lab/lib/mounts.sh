# shellcheck shell=bash
# Root directories of the lab and its nodes: mounts, devices, pivoting in. For a
# shell that already has mount, pid and network namespaces of its own.

# root_mount NEW LOWER UPPER: an overlay at NEW with the usual file systems in it.
# LOWER is a colon-separated list; UPPER a directory for this root's changes.
root_mount() {
    local new=$1 lower=$2 upper=$3 dev
    mkdir -p "$new" "$upper/data" "$upper/work"
    mount -t overlay -o "lowerdir=$lower,upperdir=$upper/data,workdir=$upper/work" overlay "$new"
    mount -t proc -o nosuid,nodev,noexec proc "$new/proc"
    mount -t sysfs -o nosuid,nodev,noexec sysfs "$new/sys"
    mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$new/run"
    mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$new/tmp"
    mkdir -m 755 "$new/run/lock"

    mount -t tmpfs -o mode=755,nosuid tmpfs "$new/dev"
    for dev in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0 fuse:10:229; do
        # shellcheck disable=SC2046 # name, major and minor are three words
        set -- $(echo "$dev" | tr : ' ')
        mknod -m 666 "$new/dev/$1" c "$2" "$3"
    done
    mkdir "$new/dev/net"
    mknod -m 666 "$new/dev/net/tun" c 10 200
    ln -s /proc/self/fd "$new/dev/fd"
    ln -s fd/0 "$new/dev/stdin"
    ln -s fd/1 "$new/dev/stdout"
    ln -s fd/2 "$new/dev/stderr"
    mkdir "$new/dev/pts" "$new/dev/shm" "$new/dev/mqueue"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$new/dev/pts"
    ln -s pts/ptmx "$new/dev/ptmx"
    mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$new/dev/shm"
    mount -t mqueue mqueue "$new/dev/mqueue"
}

# root_bind SOURCE TARGET [ro]: TARGET is made if it is missing.
root_bind() {
    mkdir -p "$2"
    mount --bind "$1" "$2"
    [ "${3:-}" != ro ] || mount -o remount,bind,ro "$2"
}

# root_enter NEW COMMAND...: makes NEW the root of this mount namespace, drops
# everything outside it, and becomes COMMAND.
root_enter() {
    local new=$1
    shift
    mkdir -p "$new/.outside"
    cd "$new" || return
    pivot_root . .outside
    exec chroot . /bin/bash -c 'umount -l /.outside && rmdir /.outside && cd / && exec "$@"' bash "$@"
}
