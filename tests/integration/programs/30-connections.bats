# Connections that nobody has accepted yet.

load ../lib
load programs

setup() { alice sh -c 'rm -rf /shared/alice/*'; }

# bats test_tags=slice
@test "a save waits until connections are accepted" {
    script=$(printf '#!/bin/bash\npython3 %s/backlog.py\n' "$programs")
    unmoved accepted <<<"$script"
    moved accepted READY <<<"$script"
    assert_same accepted
}

@test "a listener that is never served is named, and the job goes on" {
    script=$(printf '#!/bin/bash\npython3 %s/backlog.py never\n' "$programs")
    unmoved never <<<"$script"
    alice mkdir -p never
    alice rm -f never/go
    job=$(alice sbatch --parsable -D /shared/alice/never --checkpoint --checkpoint-dir=/shared/alice/ckpt -o /shared/alice/never.moved <<<"$script")
    wait_for_text /shared/alice/never.moved READY
    assert_run ! alice holdfast save "$job"
    assert_contains "$output" '(python3) has not accepted 8 connections at 127.0.0.1:'
    alice touch never/go
    wait_for_state "$job" COMPLETED
    assert_same never
}

@test "a script that ends while its save waits for that is not waited for" {
    alice mkdir ended
    job=$(alice sbatch --parsable -D /shared/alice/ended --checkpoint --checkpoint-dir=/shared/alice/ckpt -o /shared/alice/ended.out <<<"$(printf '#!/bin/bash\npython3 %s/backlog.py never &\nuntil [ -e end ]; do sleep 0.1; done\n' "$programs")")
    wait_for_text /shared/alice/ended.out READY
    alice holdfast save "$job" >"$BATS_TEST_TMPDIR/save" 2>&1 3>&- &
    eventually 20 details_are "$job" .state freezing
    alice touch ended/end
    wait_for_state "$job" COMPLETED
    assert_contains "$(details "$job" '.checkpoints[-1].error')" ended
}
