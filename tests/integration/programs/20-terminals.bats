# Output and input that are queued in terminals come once, whole and in order.

load ../lib
load programs

setup() { alice sh -c 'rm -rf /shared/alice/*'; }

# bats test_tags=slice
@test "ranks that print as fast as they can" {
    script=$(printf '#!/bin/bash\nmpirun --map-by ppr:1:node python3 %s/lines.py 800000\n' "$programs")
    unmoved ranks -N2 --ntasks-per-node=1 --mem=2G <<<"$script"
    moved ranks s0001000 -N2 --ntasks-per-node=1 --mem=2G <<<"$script"
    for characters in '0-9a-z' 'A-Z' '\n\r'; do
        cmp <(printed /shared/alice/ranks.unmoved | tr -cd "$characters") <(printed /shared/alice/ranks.moved | tr -cd "$characters")
    done
    # Other characters would be none of theirs.
    assert_equal "$(printed /shared/alice/ranks.moved | tr -cd '0-9' | wc -c)" $((800000 * 7))
}

@test "terminals in many states" {
    script=$(printf '#!/bin/bash\npython3 %s/queues.py\n' "$programs")
    unmoved queues <<<"$script"
    moved queues READY <<<"$script"
    assert_same queues
}

@test "script(1)" {
    script=$(printf '#!/bin/bash\nscript -qec "python3 %s/lines.py 600000" typescript </dev/null\ngrep -v ^Script typescript | md5sum\n' "$programs")
    unmoved script --mem=2G <<<"$script"
    moved script s0001000 --mem=2G <<<"$script"
    cmp /shared/alice/script.unmoved /shared/alice/script.moved
}

@test "a program that talks to a shell in a terminal" {
    script=$(printf '#!/bin/bash\npython3 %s/dialogue.py\n' "$programs")
    unmoved dialogue <<<"$script"
    moved dialogue READY <<<"$script"
    assert_same dialogue
}
