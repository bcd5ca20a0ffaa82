# shellcheck shell=bash
# Compiles the checkout in the lab's root. Needs common.sh and root.sh.
#
# A checkout has a directory in the cache: a build tree for each CMake preset,
# and `stage`, what `cmake --install` made of the release tree. The lock (fd 8)
# is exclusive while building; after it the caller keeps it shared, so that
# `stage` stays as it is until the caller is done.

# Sets build_dir, the directory of this checkout.
build_place() {
    build_dir=$cache/build-$(printf %s "$src" | sha256sum | cut -c1-16)
    mkdir -p "$build_dir/stage" "$cache/ccache"
    # Never empty, not even for a moment: another checkout's build_prune may be reading it.
    [ -e "$build_dir/checkout" ] || {
        printf '%s\n' "$src" >"$build_dir/checkout.$$"
        mv "$build_dir/checkout.$$" "$build_dir/checkout"
    }
    build_prune
}

# Removes the build trees of checkouts that no longer exist.
build_prune() {
    local dir checkout
    for dir in "$cache"/build-*; do
        checkout=$(cat "$dir/checkout" 2>/dev/null) || continue # it is being made
        [ -z "$checkout" ] || [ -e "$checkout" ] || rm -rf --one-file-system "$dir"
    done
}

# build_product [TARGET...]: compiles what is installed, and TARGETs, and installs it into $build_dir/stage.
build_product() {
    build_place
    exec 8<"$build_dir"
    flock --nonblock 8 || { say "waiting for another build of this checkout"; flock 8; }
    build_preset release product "$@"
    build_in /bin/sh -c 'rm -rf /build/stage.new && DESTDIR=/build/stage.new cmake --install /build/release --strip &&
        rm -rf /build/stage && mkdir -p /build/stage.new && mv /build/stage.new /build/stage' >/dev/null ||
        die "installing the build: cmake --install failed; its messages are above. lab/up --plain boots without Holdfast"
    flock --shared 8
}

# build_preset PRESET TARGET...: configures one build tree and compiles TARGETs.
build_preset() {
    local quiet=(-- --quiet) fresh=()
    [ ! -t 2 ] || quiet=()
    # What CMake has found in the packages of another root may not be in this one.
    [ "$(cat "$build_dir/$1/root" 2>/dev/null)" = "$root_dir" ] || fresh=(--fresh)
    say "compiling ($1)"
    build_in cmake "${fresh[@]}" --preset "$1" -B "/build/$1" --log-level=WARNING -DCMAKE_INSTALL_PREFIX=/usr >"$build_dir/$1-configure.log" 2>&1 || {
        cat "$build_dir/$1-configure.log" >&2
        die "configuring $src ($1) failed; lab/up --plain boots without Holdfast"
    }
    echo "$root_dir" >"$build_dir/$1/root"
    build_in cmake --build "/build/$1" --target "${@:2}" "${quiet[@]}" >&2 ||
        die "compiling $src ($1) failed; lab/up --plain boots without Holdfast"
}

# build_in COMMAND...: runs COMMAND in the root, with the checkout at /src and the
# build directory at /build. What it changes elsewhere is gone afterwards.
build_in() {
    setpriv --pdeathsig KILL unshare --pid --mount --net --uts --ipc --fork --kill-child=KILL \
        "$src/lab/lib/build-init" "$root_dir" "$build_dir" "$@" </dev/null
}
