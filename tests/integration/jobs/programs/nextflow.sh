# shellcheck shell=bash
# A run as of Nextflow's local executor: each task has a directory below work/, in which its wrapper .command.run passes
# output through named pipes and writes .exitcode, for which the executor looks. One task fails once and is tried
# again; the last waits for the file "go".
set -eu
tasks=15 slots=3

launch() { # TASK ATTEMPT
    local directory
    directory=work/$(printf '%s' "$1.$2" | md5sum | sed -E 's|^(..)(.{30}).*|\1/\2|')
    mkdir -p "$directory"
    [ "$1" != "$tasks" ] || printf 'until [ -e "%s/go" ]; do sleep 0.1; done\n' "$PWD" >"$directory/.command.sh"
    cat >>"$directory/.command.sh" <<END
sleep 0.8
[ $1.$2 != 5.1 ] || { echo "task 5 fails" >&2; exit 7; }
seq $1 $((1000 * $1)) | awk '{ sum += \$1 * \$1 } END { print $1, sum }' >result
echo "task $1 says"
END
    cat >"$directory/.command.run" <<'END'
#!/bin/bash
cd "$(dirname "$0")"
trap 'code=$?; printf -- $code >.exitcode; rm -f .command.po .command.pe; kill $tee1 $tee2 2>/dev/null; exit $code' EXIT
trap 'exit 143' TERM INT USR1 USR2
touch .command.begin
mkfifo .command.po .command.pe
tee .command.out <.command.po & tee1=$!
tee .command.err <.command.pe >&2 & tee2=$!
(
    bash -ue .command.sh >.command.po 2>.command.pe & pid=$!
    while kill -0 $pid 2>/dev/null; do ps -o pid=,rss= $pid >>.command.trace; sleep 0.2; done
    wait $pid
) & main=$!
wait $main; code=$?
wait $tee1 $tee2
exit $code
END
    bash "$directory/.command.run" >/dev/null 2>&1 &
    running[$1]=$directory attempt[$1]=$2
}

declare -A running=() attempt=()
next=1 ended=0
while [ "$ended" -lt "$tasks" ]; do
    while [ "$next" -le "$tasks" ] && [ "${#running[@]}" -lt "$slots" ]; do
        launch "$next" 1
        next=$((next + 1))
    done
    for task in "${!running[@]}"; do
        directory=${running[$task]}
        [ -s "$directory/.exitcode" ] || continue
        unset "running[$task]"
        code=$(<"$directory/.exitcode")
        echo "task $task attempt ${attempt[$task]} exit $code: $(cat "$directory/.command.out" "$directory/.command.err") $(cat "$directory/result" 2>/dev/null)" >>ended
        if [ "$code" != 0 ]; then launch "$task" 2; else ended=$((ended + 1)); fi
    done
    sleep 0.1
done
wait
sort -k 2n -k 4n ended
echo "done"
