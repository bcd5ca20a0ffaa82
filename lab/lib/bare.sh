# shellcheck shell=bash
# A root for lab/install-test: Debian 13 with Slurm, without anything of Holdfast, which has at hand what
# installing its packages takes. Needs common.sh and root.sh.

# bare_root DIRECTORY-OF-PACKAGES: sets root_dir. As root_ready does, for a root of its own.
bare_root() {
    local packages=$1 depends
    # Built anew when the packages ask for something else.
    depends=$(for package in "$packages"/*.deb; do dpkg-deb --field "$package" Depends; done)
    root_dir=$cache/bare-$({ echo "$depends"; cat "$src/lab/packages-bare.txt" "$src/lab/lib/recipe.sh"; declare -f bare_build; } | root_key)
    exec 7<"$cache"
    if [ ! -d "$root_dir" ]; then
        flock 7
        [ -d "$root_dir" ] || bare_build "$root_dir" "$packages"
        for dir in "$cache"/bare-*; do [ "$dir" = "$root_dir" ] || rm -rf --one-file-system "$dir"; done
    fi
    exec 7<"$root_dir"
    flock --shared 7
}

# What the packages depend on is fetched, and not installed: the lab's nodes reach no mirror.
bare_build() {
    local packages=$2 mirror
    mirror=$(root_mirror) || exit
    root_build "$1" 'a bare Debian 13 root' --variant=important --components=main \
        --aptopt='APT::Install-Recommends "false"' \
        --setup-hook='mkdir -p "$1/etc/apt/preferences.d"' \
        --setup-hook="printf 'Package: *\nPin: release a=testing\nPin-Priority: 100\n\nPackage: %s\nPin: release a=testing\nPin-Priority: 990\n' \
            '$(sed -n 's|/testing$||p' "$src/lab/packages.txt" | paste -sd' ')' >\"\$1/etc/apt/preferences.d/testing\"" \
        --include="$(root_packages packages-bare.txt | paste -sd,)" \
        --skip=cleanup/apt \
        --customize-hook="'$src/lab/lib/recipe.sh' \"\$1\" '$src/lab/etc'" \
        --customize-hook='chroot "$1" userdel holdfast' \
        --customize-hook="mkdir \"\$1/tmp/packages\" && cp '$packages'/*.deb \"\$1/tmp/packages\" &&
            chroot \"\$1\" sh -c 'apt-get install --yes -qq --download-only /tmp/packages/*.deb' >/dev/null &&
            rm -r \"\$1/tmp/packages\"" \
        trixie "$1.tmp" \
        "deb $mirror trixie main" "deb [check-valid-until=no] $mirror testing main"
}
