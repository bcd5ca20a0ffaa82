# shellcheck shell=bash
# Programs that must not notice: a job runs unmoved, and another one is saved and moved twice; what they
# print must be the same. A file begins with `load ../lib` and `load programs`.
#
# A program prints READY when it has made the state that matters, and goes on when there is a file
# "go" in its directory, or by itself if it has none to wait for.

programs=/src/tests/integration/programs

# unmoved NAME [SBATCH-OPTION...] <SCRIPT: prints the job's output, into NAME.unmoved too.
unmoved() {
    local name=$1 job
    shift
    alice sh -c "mkdir -p $name && touch $name/go"
    job=$(alice sbatch --parsable -D "/shared/alice/$name" -p urgent --checkpoint=off -o "/shared/alice/$name.unmoved" "$@")
    wait_for_end "$job" 240
    job_is "$job" COMPLETED || { on ctl tail -n 30 "/shared/alice/$name.unmoved" >&2; return 1; }
}

# moved NAME TEXT [SBATCH-OPTION...] <SCRIPT: from when TEXT is in its output; into NAME.moved.
moved() {
    local name=$1 text=$2 job turn
    shift 2
    alice sh -c "mkdir -p $name && rm -f $name/go"
    job=$(alice sbatch --parsable -D "/shared/alice/$name" --checkpoint --checkpoint-dir=/shared/alice/ckpt -o "/shared/alice/$name.moved" "$@")
    wait_for_text "/shared/alice/$name.moved" "$text"
    for turn in 1 2; do
        eventually 60 alice holdfast save "$job"
        eventually 60 alice holdfast save "$job"
        eventually 60 alice holdfast migrate "$job"
        wait_for_restart "$job" "$turn" || return 1
    done
    eventually 60 alice holdfast save "$job"
    alice touch "$name/go"
    wait_for_end "$job" 240
    job_is "$job" COMPLETED || { on ctl tail -n 30 "/shared/alice/$name.moved" >&2; return 1; }
}

# assert_same NAME: both printed the same.
assert_same() { on ctl diff -a "/shared/alice/$1.unmoved" "/shared/alice/$1.moved" >&2; }
