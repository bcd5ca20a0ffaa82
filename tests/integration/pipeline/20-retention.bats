# Checkpoints that are no longer needed go, those that are needed never do, and both can be checked.

load ../lib

setup_file() {
    idle_cluster
    set_keep_after_failure 7d
}
teardown_file() { set_keep_after_failure 7d; }

setup() { alice sh -c 'rm -rf /shared/alice/* /shared/alice/.holdfast*'; }

# The coordinator alone has to know it.
set_keep_after_failure() {
    on ctl sh -c "sed -i '/keep_after_failure/d; /^checkpoint:/a \\  keep_after_failure: $1' /etc/holdfast/holdfast.yaml"
    on ctl /src/lab/lib/coordinator stop
    on ctl /src/lab/lib/coordinator start
    eventually 20 on ctl holdfast list >/dev/null
}

# sleeper [OPTION...]: a job with some memory, until it finds the file `go`; then it ends with the number in it.
sleeper() {
    submit --checkpoint --checkpoint-dir=/shared/alice/ckpt -o sleeper.out "$@" <<'END'
#!/bin/bash
exec python3 -c '
import os, time
data = bytearray(os.urandom(20_000_000))
print("ready", flush=True)
while not os.path.exists("go"):
    data[0] = (data[0] + 1) % 256
    time.sleep(0.1)
raise SystemExit(int(open("go").read()))
'
END
}
# saved JOB N: saves it N times, once it runs.
saved() {
    wait_for_text /shared/alice/sleeper.out ready
    eventually 30 details_are "$1" .state running
    for _ in $(seq "$2"); do alice holdfast save "$1"; done
}
packs() { find "$(ckpt "$1")/packs" -name '*.pack' -printf '%f\n' | sort; }
manifests() { find "$(ckpt "$1")" -name 'manifest-*.h5' -size +0 -printf '%f\n' | sort | tr -dc '0-9\n' | sed 's/5$//; s/^0*//' | paste -sd' '; }
gone() { [ ! -e "$(ckpt "$1")" ]; }

# bats test_tags=slice
@test "after a good end nothing is kept, on two nodes too" {
    for nodes in 1 2; do
        alice rm -f go sleeper.out
        job=$(sleeper --nodes="$nodes")
        # Pods that end before they have met leave a doubt, and on a doubt nothing is removed.
        sleep 1
        saved "$job" 1
        [ -s "$(ckpt "$job")/manifest-000001.h5" ]
        alice sh -c 'echo 0 >go'
        wait_for_state "$job" COMPLETED
        gone "$job"
        eventually 10 details_are "$job" .state ended
        assert_equal "$(details "$job" '.checkpoints[0].state')" removed
    done
}

@test "after a failure checkpoints stay for a time, then the timer's command removes them" {
    set_keep_after_failure 8s
    job=$(sleeper)
    saved "$job" 2
    alice sh -c 'echo 3 >go'
    wait_for_state "$job" FAILED
    eventually 10 details_are "$job" .state ended
    [ "$(details "$job" .kept_for_seconds)" -gt 0 ]
    assert_equal "$(on ctl holdfast prune --expired)" ''
    assert_equal "$(manifests "$job")" '1 2'
    # What is not over is not touched, nor is somebody who is not root served.
    alice rm go
    running=$(sleeper)
    saved "$running" 1
    assert_run 4 alice holdfast prune --expired
    eventually 20 details_are "$job" .kept_for_seconds 0
    assert_contains "$(on ctl holdfast prune --expired)" "job $job: removed, "
    gone "$job"
    assert_equal "$(details "$job" '.checkpoints[1].state, .kept_for_seconds')" $'removed\nnull'
    assert_equal "$(on ctl holdfast prune --expired)" ''
    assert_equal "$(manifests "$running")" 1
    alice scancel "$running"
    wait_for_end "$running"
    set_keep_after_failure 7d
}

@test "root removes with the user's rights only: a link in the directory's place leads nowhere" {
    set_keep_after_failure 0s
    job=$(sleeper)
    saved "$job" 1
    alice scancel "$job"
    wait_for_end "$job"
    eventually 10 details_are "$job" .kept_for_seconds 0
    place=/shared/roots/$(basename "$(ckpt "$job")")
    on ctl sh -c "install -d -m 700 $place && echo precious >$place/manifest-000001.h5"
    alice sh -c 'mv ckpt mine; ln -s /shared/roots ckpt'
    assert_run 1 on ctl holdfast prune --expired
    assert_contains "$output" "job $job: not removed"
    assert_equal "$(cat "$place/manifest-000001.h5")" precious
    alice sh -c 'rm ckpt; mv mine ckpt'
    on ctl holdfast prune --expired
    gone "$job"
    on ctl rm -r /shared/roots
    set_keep_after_failure 7d
}

@test "people prune: the newest stay, those of a job that runs most of all" {
    job=$(sleeper --checkpoint-keep=5)
    saved "$job" 4
    assert_equal "$(manifests "$job")" '1 2 3 4'
    assert_run 4 as bob ctl holdfast prune "$job" --checkpoint-dir=/shared/alice/ckpt
    assert_run 5 alice holdfast prune "$job" --keep=0
    assert_contains "$output" 'the job is running'
    assert_contains "$(alice holdfast prune "$job" --keep=2)" "job $job: removed checkpoints 1,2; kept 3,4;"
    assert_equal "$(manifests "$job")" '3 4'
    assert_equal "$(details "$job" '[.checkpoints[].state] | join(" ")')" 'removed removed committed committed'
    # The first one's pack is needed by all that follow.
    assert_contains "$(packs "$job")" 000001-0-0.pack
    assert_equal "$(alice holdfast prune "$job" --keep=1 --json | jq -c '[.removed, .kept]')" '[[3],[4]]'
    alice holdfast save "$job" --stop
    alice holdfast resume "$job"
    wait_for_restart "$job" 1
    # 5 is what it was restored from; it stays although 6 is newer.
    alice holdfast save "$job"
    alice holdfast prune "$job" --keep=1
    assert_equal "$(manifests "$job")" '5 6'
    alice scancel "$job"
    wait_for_end "$job"
    eventually 10 details_are "$job" .state ended
    alice holdfast prune "$job" --keep=0
    gone "$job"
}

@test "pruning beside checkpoints that are written: each restores" {
    job=$(sleeper --checkpoint-keep=3)
    saved "$job" 1
    for _ in 1 2 3 4 5 6; do
        alice holdfast save "$job" &
        saving=$!
        for _ in 1 2 3; do alice holdfast prune "$job" --keep=1; done
        wait "$saving"
        alice holdfast verify "$job"
    done
    alice holdfast save "$job" --stop
    alice holdfast resume "$job"
    wait_for_restart "$job" 1
    alice sh -c 'echo 0 >go'
    wait_for_state "$job" COMPLETED
}

@test "verify reads everything, and says what it checked" {
    job=$(sleeper --nodes=2)
    saved "$job" 2
    assert_run 0 alice holdfast verify "$job"
    for text in 'checkpoint 1: good' 'checkpoint 2: good' 'checked: all digests; not that the manifests are authentic'; do assert_contains "$output" "$text"; done
    assert_run 0 on n1 holdfast verify "$job:2"
    assert_contains "$output" 'checked: that the manifests are authentic, and all digests'
    # The controller has no need of the key; where there is none, root does not read.
    on n2 mv /etc/holdfast/site.key /etc/holdfast/away
    assert_run 4 on n2 holdfast verify "$job"
    assert_contains "$output" "as the job's user"
    on n2 mv /etc/holdfast/away /etc/holdfast/site.key
    assert_run 3 alice holdfast verify "$job:7"
    pack=$(ckpt "$job")/packs/$(packs "$job" | tail -n 1)
    alice python3 - "$pack" <<'END'
import os, sys
size = os.path.getsize(sys.argv[1])
with open(sys.argv[1], "r+b") as pack:
    pack.seek(size // 2)
    byte = pack.read(1)
    pack.seek(size // 2)
    pack.write(bytes([byte[0] ^ 1]))
END
    assert_run 1 alice holdfast verify "$job"
    assert_contains "$output" "$(basename "$pack")"
    assert_contains "$output" 'not what was written there'
    assert_run 1 alice holdfast --json verify "$job"
    assert_equal "$(alice holdfast --json verify "$job" 2>/dev/null | jq -r '[.checkpoints[].state] | index("damaged") != null')" true
    alice scancel "$job"
}

@test "a job that the coordinator has forgotten is pruned by its directory" {
    job=$(sleeper)
    saved "$job" 2
    alice scancel "$job"
    wait_for_end "$job"
    on ctl /src/lab/lib/coordinator stop
    on ctl mv /var/lib/holdfast/journal.db /var/lib/holdfast/journal.db.away
    on ctl rm -f /var/lib/holdfast/journal.db-wal /var/lib/holdfast/journal.db-shm
    assert_run 6 alice holdfast prune "$job" --checkpoint-dir=/shared/alice/ckpt
    on ctl /src/lab/lib/coordinator start
    eventually 20 on ctl holdfast list >/dev/null
    assert_run 3 alice holdfast prune "$job"
    assert_contains "$output" --checkpoint-dir
    assert_run 2 on n1 holdfast prune "$job" --checkpoint-dir=/shared/alice/ckpt
    assert_contains "$output" --user
    on n1 holdfast verify "$job" --checkpoint-dir=/shared/alice/ckpt --user=alice
    alice holdfast prune "$job" --checkpoint-dir=/shared/alice/ckpt --keep=1
    assert_equal "$(manifests "$job")" 2
    on n1 holdfast prune "$job" --checkpoint-dir=/shared/alice/ckpt --user=alice --keep=0
    gone "$job"
}
