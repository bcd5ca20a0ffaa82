# All that programs can see of themselves, before and after: tests/integration/programs/look. Each
# kind alone in a job, so that one that cannot be saved does not stand for another. A kind that this
# machine does not have is not judged, and its row of the table not compared.

load ../lib

# Not changed by a save and two moves, or else refused, by name.
refused="pipes inotify unix undumpable keyring pkey mqueue reserved onfault wanderer hoarder sharer companion exitsignal landlock dispatch"

setup_file() {
    idle_cluster
    on ctl cp /src/tests/integration/programs/look/job.sh /shared/alice/
    on ctl sh -c 'cc -O1 -o /shared/alice/look /src/tests/integration/programs/look/*.c -lpthread -lrt -lm'
    : >/tmp/look.tsv
}

kinds() { on ctl /shared/alice/look list | cut -f 1; }

told() { on ctl cat "/shared/alice/$1/$2.out"; }
is_absent() { told "$1" "$2" | grep -qx "not on this machine"; }
is_ready() { told "$1" "$2" 2>/dev/null | grep -qx ready; }

# reason <MESSAGE: what it says of the process, without figures that differ from run to run.
reason() { grep -oE 'process [0-9]+ \(look\) .*' | sed -E 's/^process [0-9]+ \(look\) //; s/(of address space),.*/\1/' | head -n 1; }

# look KIND...: each in a job of plain Slurm, which tells at once, and in one of ours, which is saved
# and moved twice before. `outcome` has for each what came of it.
look() {
    local kind
    local -A ours=()
    for kind in "$@"; do
        alice mkdir "plain.$kind"
        alice touch "plain.$kind/go"
        alice sbatch -p nograce -n 1 -o /dev/null job.sh "/shared/alice/plain.$kind" "$kind" >/dev/null
        ours[$kind]=$(alice sbatch --parsable -p nograce -n 1 -o "$kind.log" --checkpoint job.sh "/shared/alice/ours.$kind" "$kind")
    done
    for kind in "$@"; do
        eventually 60 is_ready "ours.$kind" "$kind"
        outcome[$kind]=moved
        said=$(alice holdfast save "${ours[$kind]}" 2>&1) || outcome[$kind]="refused: $(reason <<<"$said")"
    done
    for n in 1 2; do
        for kind in "$@"; do [ "${outcome[$kind]}" != moved ] || alice holdfast migrate "${ours[$kind]}"; done
        for kind in "$@"; do [ "${outcome[$kind]}" != moved ] || wait_for_restart "${ours[$kind]}" "$n"; done
    done
    for kind in "$@"; do alice touch "ours.$kind/go"; done
    for kind in "$@"; do
        wait_for_end "${ours[$kind]}"
        if ! diff <(told "plain.$kind" "$kind") <(told "ours.$kind" "$kind"); then
            [ "${outcome[$kind]}" = moved ] || return 1 # it was not even saved
            outcome[$kind]=changed
        fi
        ! is_absent "plain.$kind" "$kind" || outcome[$kind]=absent
        printf '%s\t%s\n' "$kind" "${outcome[$kind]}" >>/tmp/look.tsv
    done
}

# try FILE: the kinds of one file of look/.
try() {
    local kind mine=() result=0
    for kind in $(kinds); do
        grep -q "{\"$kind\"," "/src/tests/integration/programs/look/$1.c" && mine+=("$kind")
    done
    declare -gA outcome=()
    for ((i = 0; i < ${#mine[@]}; i += 5)); do look "${mine[@]:i:5}"; done
    for kind in "${mine[@]}"; do
        [ "${outcome[$kind]}" != absent ] || { echo "# $kind: not on this machine" >&3; continue; }
        case " $refused " in *" $kind "*) expected=refused ;; *) expected=moved ;; esac
        [ "${outcome[$kind]%%:*}" = "$expected" ] || { echo "$kind: ${outcome[$kind]}, expected $expected" >&2; result=1; }
        [ "${outcome[$kind]}" != "refused: " ] || { echo "$kind: refused without a reason" >&2; result=1; }
    done
    return $result
}

@test "files, locks, pipes, events" { try files; }
@test "sockets: options, queues, groups" { try sockets; }
@test "processes: attributes, limits, trees" { try process; }
@test "memory: advice, mappings, keys, filters" { try memory; }
@test "signals, mutexes, floating point" { try signals; }
@test "System V and POSIX objects, private files" { try ipc; }
@test "timers and clocks" { try times; }
@test "threads and processes that share" { try threads; }

@test "the documentation's table is what was seen" {
    [ "$(wc -l </tmp/look.tsv)" = "$(kinds | wc -l)" ] || skip "not all kinds have been tried in this run"
    local kind what came
    diff <(sed '1,/<!-- look -->/d; /<!-- look end -->/,$d' /src/docs/what-moves.md) <(
        printf '| what a program has | after a move |\n|---|---|\n'
        on ctl /shared/alice/look list | while IFS=$'\t' read -r kind what; do
            came=$(awk -F '\t' -v kind="$kind" '$1 == kind { print $2 }' /tmp/look.tsv)
            if [ "$came" = absent ]; then
                grep -F "| $what | " /src/docs/what-moves.md
            else
                printf '| %s | %s |\n' "$what" "$came"
            fi
        done)
}
