# shellcheck shell=bash
# What the stories of lab/demo share: being alice, telling, following a job's timeline.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
here=${0%/*}
rounds=${ROUNDS:-300}
examples=/usr/share/holdfast/examples

alice() { "$here/node" ctl -u alice env -C /shared/alice ROUNDS="$rounds" "$@"; }
tell() { printf '\n%s\n' "$*"; }
fail() {
    tell "the demo failed: $*" >&2
    alice holdfast show "$job" >&2 || true
    tail -n 20 /shared/alice/*.out >&2 || true
    exit 1
}
field() { alice scontrol show job "$1" --oneliner | tr ' ' '\n' | sed -n "s/^$2=//p"; }

# follow JOB: prints what is new in the job's timeline, each line with the time since the notice.
told=$(mktemp)
trap 'rm -f "$told"' EXIT
follow() {
    alice holdfast show "$1" --json | jq -r '
        (.events | map(select(.name == "notice")) | .[0].unix_ns) as $notice
        | {notice: 1, cut: 1, frozen: 1, saved: 1, committed: 1, requeued: 1, nodes: 1, restored: 1, running: 1, "pages-in": 1} as $shown
        | .events[] | select($notice != null and .unix_ns >= $notice and $shown[.name])
        | [(.unix_ns - $notice) / 1e9, (if .name == "nodes" then "nodes chosen" else .name end),
           (if .node == "" then "-" else .node end), .duration_ns / 1e9, .detail] | @tsv' |
        while IFS=$'\t' read -r at name node took detail; do
            [ "$took" = 0 ] && took='' || took=$(printf '%.2f s' "$took")
            printf '  +%6.2f s  %-14s %-4s %8s  %s\n' "$at" "$name" "$node" "$took" "$detail"
        done | grep --line-regexp --fixed-strings --invert-match --file="$told" | tee -a "$told" || true
}
