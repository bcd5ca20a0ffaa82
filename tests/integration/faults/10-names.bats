# Names and texts of users are bytes: no checkpoint fails, and no job is harmed, because they are no
# UTF-8.

load ../lib

# names DIRECTORY OPTION...: a job that has many; prints its id.
names() {
    local directory=$1
    shift
    alice mkdir "$directory"
    as alice ctl env -C "/shared/alice/$directory" BYTES=$'\xff\xfe' sbatch --parsable --job-name=$'\xff\xfe' --comment=$'mine \xff' \
        -o $'out-\xff' "$@" /src/tests/integration/faults/names.py $'\xff\xfe' $'a\nb'
}

looked() { [ "$(on ctl grep -c ^---- "$1")" = "$2" ]; }

# bats test_tags=slice
@test "saved, moved twice, files put back: everything has the name that it had" {
    plain=$(names plain --checkpoint=off -p urgent)
    eventually 60 looked $'/shared/alice/plain/out-\xff' 1
    alice touch plain/go
    wait_for_state "$plain" COMPLETED
    job=$(names moved --checkpoint --checkpoint-dir=/shared/alice/ckpt --checkpoint-files=/shared/alice/moved/work)
    eventually 60 looked $'/shared/alice/moved/out-\xff' 1
    eventually 30 details_are "$job" .state running
    alice holdfast save "$job"
    eventually 30 details_are "$job" .state running
    move "$job"
    move "$job"
    alice touch moved/go
    wait_for_state "$job" COMPLETED
    for directory in plain moved; do
        on ctl sed -e "s|/shared/alice/$directory|HERE|g" -e 's|^holdfast: .*||' "/shared/alice/$directory/"$'out-\xff' >"$BATS_TEST_TMPDIR/$directory"
    done
    diff "$BATS_TEST_TMPDIR/plain" "$BATS_TEST_TMPDIR/moved"
    assert_equal "$(job_field "$job" Restarts)" 2
}

@test "a message that quotes such a name reaches its user, and the job runs on" {
    job=$(submit --checkpoint --checkpoint-dir=/shared/alice/ckpt -o refused.out <<'END'
#!/usr/bin/python3
import os, time
# A socket's name is a path too; one that leads nowhere any more cannot be saved.
os.makedirs(b"/shared/alice/gone-\xff")
os.chdir(b"/shared/alice/gone-\xff")
os.rmdir(b"/shared/alice/gone-\xff")
print("ready", flush=True)
while not os.path.exists("/shared/alice/go"):
    time.sleep(0.1)
print("whole", flush=True)
END
    )
    wait_for_text /shared/alice/refused.out ready
    eventually 30 details_are "$job" .state running
    alice holdfast save "$job" || true
    eventually 30 details_are "$job" .state running
    alice touch go
    wait_for_state "$job" COMPLETED
    wait_for_text /shared/alice/refused.out whole
}
