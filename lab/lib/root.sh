# shellcheck shell=bash
# The lab's Debian 13 root, built once and kept in the cache under a hash of
# everything that determines it. Needs common.sh.

# Sets root_dir, building the root if it is not in the cache. On return this
# process holds a lock (fd 7) that keeps the root from being pruned.
root_ready() {
    local key
    key=$({ cat "$src/lab/packages.txt" "$src/lab/lib/recipe.sh"; declare -f root_build; } | sha256sum | cut -c1-16)
    root_dir=$cache/root-$key
    mkdir -p "$cache"
    exec 7<"$cache"
    if [ ! -d "$root_dir" ]; then
        flock --nonblock 7 || { say "waiting for the root that another lab builds"; flock 7; }
        [ -d "$root_dir" ] || root_build
        root_prune
    fi
    exec 7<"$root_dir"
    flock --shared 7
}

root_build() {
    local tmp=$root_dir.tmp mirror packages begin=$SECONDS
    need mmdebstrap mmdebstrap
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || need debian-archive-keyring debian-archive-keyring
    rm -rf --one-file-system "$tmp"
    mirror=$(root_mirror) || exit
    packages=$(sed -e '/^#/d' -e '/^$/d' -e 's|/.*||' "$src/lab/packages.txt" | paste -sd,)
    say "building the Debian 13 root in $root_dir (once; a few minutes)"
    mmdebstrap --quiet --variant=important --components=main \
        --aptopt='APT::Install-Recommends "false"' \
        --setup-hook='mkdir -p "$1/etc/apt/preferences.d"' \
        --setup-hook="sed -n 's|/testing\$||p' '$src/lab/packages.txt' | paste -sd' ' | {
            read -r pinned
            printf 'Package: *\nPin: release a=testing\nPin-Priority: 100\n\nPackage: %s\nPin: release a=testing\nPin-Priority: 990\n' \"\$pinned\"
            } >\"\$1/etc/apt/preferences.d/testing\"" \
        --include="$packages" \
        --customize-hook="'$src/lab/lib/recipe.sh' \"\$1\" '$src/lab/etc'" \
        trixie "$tmp" \
        "deb $mirror trixie main" "deb [check-valid-until=no] $mirror testing main" >&2 ||
        die "building the Debian 13 root: mmdebstrap failed; its messages are above. Mirror: $mirror"
    mv "$tmp" "$root_dir"
    say "built the root in $((SECONDS - begin)) s"
}

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

# Removes roots of other package lists that no lab uses.
root_prune() {
    local dir
    for dir in "$cache"/root-*; do
        [ "$dir" = "$root_dir" ] && continue
        flock --nonblock --exclusive "$dir" true || continue
        say "removing the old root $dir"
        rm -rf --one-file-system "$dir"
    done
}
