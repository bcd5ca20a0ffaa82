# Files whose names are gone.

load ../lib
load programs

setup() { alice sh -c 'rm -rf /shared/alice/*'; as alice n1 sh -c 'rm -rf /squash/*'; }

script=$(printf '#!/bin/bash\npython3 %s/nameless.py\n' "$programs")

# bats test_tags=slice
@test "files that are removed, replaced, linked elsewhere" {
    unmoved names <<<"$script"
    moved names READY <<<"$script"
    assert_same names
    assert_contains "$(on ctl cat /shared/alice/names.moved)" "names ['both.too', 'late', 'log.1', 'replaced']"
}

@test "so too where root has no rights, on FUSE, which hides what is removed" {
    in_squash=$(printf '#!/bin/bash\nhere=$PWD; mkdir -p /squash/names; cd /squash/names; ln -sfn "$here/go" go; exec python3 %s/nameless.py\n' "$programs")
    moved squash READY <<<"$in_squash"
    for line in 'removed True unnamed True' 'replaced True new content' 'rotated begin end True' 'both one two' "names ['both.too', 'log.1', 'replaced']"; do
        assert_contains "$(on ctl cat /shared/alice/squash.moved)" "$line"
    done
}

@test "a warden that is killed in a save leaves no names behind" {
    alice mkdir -p killed
    job=$(alice sbatch --parsable -D /shared/alice/killed --checkpoint --checkpoint-dir=/shared/alice/ckpt -o /shared/alice/killed.moved <<<"$script")
    wait_for_text /shared/alice/killed.moved READY
    eventually 60 alice holdfast save "$job"
    node=$(job_field "$job" NodeList)
    alice holdfast save "$job" &
    saving=$!
    on "$node" pkill -KILL -x holdfast-warden
    wait "$saving" || true # wherever it was
    wait_for_restart "$job" 1
    eventually 60 alice holdfast save "$job"
    assert_equal "$(alice ls killed/files | xargs)" "both.too log.1 replaced"
    alice touch killed/go
    wait_for_state "$job" COMPLETED
    assert_contains "$(on ctl cat /shared/alice/killed.moved)" "removed True unnamed True"
}
