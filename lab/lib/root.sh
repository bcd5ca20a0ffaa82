# shellcheck shell=bash
# The lab's Debian 13 roots: the base, which has what lab/demo needs, and the tests', a
# copy of it with more packages. Each is built once and kept in the cache under a hash of
# everything that determines it. Needs common.sh.

# root_ready [base]: sets root_dir, the tests' root or the base, building it if it is not
# in the cache. On return this process holds a lock (fd 7) that keeps it from being pruned.
root_ready() {
    local base tests
    base=$cache/root-$({ cat "$src/lab/packages.txt" "$src/lab/lib/recipe.sh"; declare -f root_build root_base; } | root_key)
    tests=$cache/root-$({ echo "${base##*-}"; cat "$src/lab/packages-tests.txt"; declare -f root_tests; } | root_key)
    root_dir=$tests
    [ "${1:-}" != base ] || root_dir=$base
    mkdir -p "$cache"
    exec 7<"$cache"
    if [ ! -d "$root_dir" ]; then
        flock --nonblock 7 || { say "waiting for the root that another lab builds"; flock 7; }
        [ -d "$base" ] || [ -d "$root_dir" ] || root_base "$base"
        [ -d "$root_dir" ] || root_tests "$tests" "$base"
        root_prune "$base" "$tests"
    fi
    exec 7<"$root_dir"
    flock --shared 7
}
root_key() { sha256sum | cut -c1-16; }

root_base() {
    local packages mirror
    mirror=$(root_mirror) || exit
    packages=$(root_packages packages.txt | paste -sd,)
    root_build "$1" 'the Debian 13 root' --variant=important --components=main \
        --aptopt='APT::Install-Recommends "false"' \
        --setup-hook='mkdir -p "$1/etc/apt/preferences.d"' \
        --setup-hook="sed -n 's|/testing\$||p' '$src/lab/packages.txt' | paste -sd' ' | {
            read -r pinned
            printf 'Package: *\nPin: release a=testing\nPin-Priority: 100\n\nPackage: %s\nPin: release a=testing\nPin-Priority: 990\n' \"\$pinned\"
            } >\"\$1/etc/apt/preferences.d/testing\"" \
        --include="$packages" \
        --customize-hook="'$src/lab/lib/recipe.sh' \"\$1\" '$src/lab/etc'" \
        trixie "$1.tmp" \
        "deb $mirror trixie main" "deb [check-valid-until=no] $mirror testing main"
}

root_tests() {
    root_build "$1" 'the root of the tests' --variant=custom \
        --setup-hook="cp -a --reflink=auto '$2/.' \"\$1\"" \
        --customize-hook="chroot \"\$1\" apt-get install --yes -qq $(root_packages packages-tests.txt | paste -sd' ') >/dev/null" \
        '' "$1.tmp"
}

# root_build DIR WHAT ARGUMENT...: runs mmdebstrap with ARGUMENTs, which make DIR.tmp, and names that DIR.
root_build() {
    local dir=$1 what=$2 begin=$SECONDS
    need mmdebstrap mmdebstrap
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || need debian-archive-keyring debian-archive-keyring
    rm -rf --one-file-system "$dir.tmp"
    say "building $what in $dir (once; a few minutes)"
    mmdebstrap --quiet "${@:3}" >&2 || die "building $what: mmdebstrap failed; its messages are above"
    mv "$dir.tmp" "$dir"
    say "built $what in $((SECONDS - begin)) s"
}

root_packages() { sed -e '/^#/d' -e '/^$/d' -e 's|/.*||' "$src/lab/$1"; }

# The Debian mirror this host itself uses, or HOLDFAST_LAB_MIRROR.
root_mirror() {
    local uri=${HOLDFAST_LAB_MIRROR:-}
    if [ -z "$uri" ] && command -v apt-get >/dev/null; then
        # shellcheck disable=SC2016 # apt's own variables
        uri=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' |
            awk '$1 == "Debian" && $2 !~ /security/ { print $2; exit }')
    fi
    [ -n "$uri" ] || die "no Debian mirror: apt-get on this host names none; set HOLDFAST_LAB_MIRROR to the URL of one"
    echo "$uri"
}

# root_prune DIR...: removes other roots that no lab uses.
root_prune() {
    local dir
    for dir in "$cache"/root-*; do
        [[ " $* " != *" $dir "* ]] || continue
        flock --nonblock --exclusive "$dir" true || continue
        say "removing the old root $dir"
        rm -rf --one-file-system "$dir"
    done
}
