# Files go back with the processes that wrote them.

load ../lib

setup() {
    alice sh -c 'rm -rf /shared/alice/* /shared/alice/.holdfast*'
}

# saved JOB: waits until it runs, and saves it.
saved() {
    eventually 30 details_are "$1" .state running
    alice holdfast save "$1"
}

# lose JOB: its last node loses its power; waits until the job runs elsewhere, powers it up again.
lose() {
    local job=$1 lost restarts
    restarts=$(job_field "$job" Restarts)
    lost=$(on ctl scontrol show hostnames "$(job_field "$job" NodeList)" | tail -n 1)
    /src/lab/lib/node-stop "$lost"
    wait_for_restart "$job" $((restarts + 1)) 180
    /src/lab/lib/node-start "$lost"
}

# stopped JOB: saves it and waits until it is off its nodes.
stopped() {
    eventually 30 details_are "$1" .state running
    alice holdfast save "$1" --stop
    wait_for_state "$1" PENDING
}

@test "a log that was appended to after the checkpoint is cut back" {
    job=$(submit --checkpoint --checkpoint-dir=/shared/alice/ckpt -o log.out <<'END'
#!/bin/bash
exec 7>>log
echo one >&7
until [ -e go1 ]; do sleep 0.1; done
echo after checkpoint >&7
until [ -e go2 ]; do sleep 0.1; done
echo last >&7
END
    )
    wait_for_text /shared/alice/log one
    saved "$job"
    alice touch go1
    wait_for_text /shared/alice/log 'after checkpoint'
    alice rm go1
    lose "$job"
    assert_equal "$(cat /shared/alice/log)" one
    assert_contains "$(cat /shared/alice/log.out)" 'holdfast: put back 1 file to checkpoint 1: cut back /shared/alice/log'
    assert_contains "$(alice holdfast show "$job")" 'cut back /shared/alice/log'
    alice touch go1 go2
    wait_for_state "$job" COMPLETED
    assert_equal "$(cat /shared/alice/log)" $'one\nafter checkpoint\nlast'
}

# bats test_tags=slice
@test "a file rewritten in place is put back, and the script goes on over it" {
    job=$(submit --checkpoint --checkpoint-dir=/shared/alice/ckpt -o data.out <<'END'
#!/bin/bash
exec python3 -c '
import os, time
f = open("data", "w+b", buffering=0)
f.write(b"first" + bytes(1 << 20) + b"end")
def wait(name):
    while not os.path.exists(name): time.sleep(0.1)
wait("go1")
f.seek(0); f.write(b"SECOND")
f.seek(500000); f.write(b"in the middle")
f.seek(0, 2); f.write(b"and longer")
wait("go2")
f.seek(0); print(f.read(6), os.path.getsize("data"), flush=True)
'
END
    )
    eventually 30 test -s /shared/alice/data
    eventually 30 details_are "$job" .state running
    before=$(sha256sum </shared/alice/data)
    alice holdfast save "$job"
    alice touch go1
    wait_for_text /shared/alice/data 'and longer'
    alice rm go1
    lose "$job"
    assert_equal "$(sha256sum </shared/alice/data)" "$before"
    assert_contains "$(cat /shared/alice/data.out)" 'put back 1 file to checkpoint 1: rewrote /shared/alice/data'
    assert_equal "$(details "$job" '[.events[] | select(.name == "rolled-back")] | length')" 1
    alice touch go1 go2
    wait_for_state "$job" COMPLETED
    assert_equal "$(tail -n 1 /shared/alice/data.out)" "b'SECOND' 1048594"
}

@test "an unchanged large file costs the next checkpoint nothing" {
    # The lab's shared disk lies in memory: what is written there counts against the job's limit.
    job=$(submit --mem=1G --checkpoint --checkpoint-dir=/shared/alice/ckpt -o large.out <<'END'
#!/bin/bash
head -c 60000000 /dev/urandom >large
exec 7<>large
echo ready
until [ -e go ]; do sleep 0.1; done
END
    )
    wait_for_text /shared/alice/large.out ready
    saved "$job"
    saved "$job"
    stored=$(details "$job" '[.events[] | select(.name == "files") | .detail][-1]')
    assert_contains "$stored" '0 B in 0 files read, 1 files unchanged'
    packs=$(du -sb /shared/alice/ckpt | cut -f1)
    [ "$packs" -lt 80000000 ] || { echo "$packs bytes in the checkpoints" >&2; return 1; }
    alice touch go
    wait_for_state "$job" COMPLETED
}

@test "in a declared directory changed files are put back and newer ones set aside" {
    alice mkdir work
    job=$(submit --checkpoint --checkpoint-dir=/shared/alice/work/ckpt --checkpoint-files=/shared/alice/work -o work.out <<'END'
#!/bin/bash
echo state one >work/state
echo ready
until [ -e go1 ]; do sleep 0.1; done
echo state two, longer >work/state
echo newer >work/newer
until [ -e go2 ]; do sleep 0.1; done
cat work/state
END
    )
    wait_for_text /shared/alice/work.out ready
    saved "$job"
    alice touch go1
    wait_for_text /shared/alice/work/newer newer
    alice rm go1
    lose "$job"
    assert_equal "$(cat /shared/alice/work/state)" 'state one'
    [ ! -e /shared/alice/work/newer ]
    assert_equal "$(cat "/shared/alice/work/.holdfast-set-aside-$job-1/newer")" newer
    assert_contains "$(cat /shared/alice/work.out)" "set aside newer as /shared/alice/work/.holdfast-set-aside-$job-1/newer"
    assert_contains "$(alice holdfast show "$job")" 'files       put back: auto, and all in /shared/alice/work'
    alice touch go1 go2
    wait_for_state "$job" COMPLETED
    assert_equal "$(tail -n 1 /shared/alice/work.out)" 'state two, longer'
}

@test "a symbolic link in a file's place is refused and named, what it leads to untouched" {
    job=$(submit --checkpoint --checkpoint-dir=/shared/alice/ckpt -o link.out <<<$'#!/bin/bash\nexec 7<>data\necho one >&7\nuntil [ -e go ]; do sleep 0.1; done')
    wait_for_text /shared/alice/data one
    stopped "$job"
    alice sh -c 'echo precious and longer >other; rm data; ln -s other data'
    alice holdfast resume "$job"
    eventually 60 details_are "$job" .state held
    assert_contains "$(details "$job" .last_error)" '/shared/alice/data is a symbolic link now'
    assert_equal "$(cat /shared/alice/other)" 'precious and longer'
    alice scancel "$job"
}

@test "a link on the way to a file leads nobody out of their rights" {
    job=$(submit --checkpoint --checkpoint-dir=/shared/alice/ckpt -o way.out <<<$'#!/bin/bash\nmkdir sub\nexec 7<>sub/shadow\necho one >&7\nuntil [ -e go ]; do sleep 0.1; done')
    wait_for_text /shared/alice/sub/shadow one
    stopped "$job"
    alice sh -c 'mv sub moved; ln -s /etc sub'
    alice holdfast resume "$job"
    eventually 60 details_are "$job" .state held
    assert_contains "$(details "$job" .last_error)" '/shared/alice/sub/shadow is reached through a symbolic link now'
    for node in n1 n2 n3 n4; do
        assert_equal "$(on $node sha256sum /etc/shadow)" "$(on ctl sha256sum /etc/shadow)"
    done
    alice scancel "$job"
}

@test "--checkpoint-rollback=append holds the job for a file that was rewritten" {
    job=$(submit --checkpoint --checkpoint-rollback=append --checkpoint-dir=/shared/alice/ckpt -o append.out <<<$'#!/bin/bash\nexec 7<>data 8>>log\necho one >&8\necho one >&7\nuntil [ -e go ]; do sleep 0.1; done')
    wait_for_text /shared/alice/data one
    stopped "$job"
    alice sh -c 'echo more >>log; echo two >data'
    alice holdfast resume "$job"
    eventually 60 details_are "$job" .state held
    assert_contains "$(details "$job" .last_error)" '/shared/alice/data was modified after the checkpoint'
    assert_equal "$(cat /shared/alice/data)" two
    alice scancel "$job"
}

@test "heat2d loses a node and ends with the file of an uninterrupted run" {
    heat=(env SIZE=256 STEPS=1500 EVERY=50)
    job=$(alice "${heat[@]}" FILE=plain.h5 PAUSE_MS=0 sbatch --parsable --checkpoint=off -p urgent -o plain.out "$examples/heat2d/heat2d.sbatch")
    wait_for_state "$job" COMPLETED 120
    job=$(alice "${heat[@]}" FILE=moved.h5 PAUSE_MS=700 sbatch --parsable --checkpoint=4s --checkpoint-dir=/shared/alice/ckpt -o moved.out "$examples/heat2d/heat2d.sbatch")
    wait_for_text /shared/alice/moved.out 'step'
    at_least() { [ "$(committed "$job")" -ge 1 ]; }
    eventually 60 at_least
    # Past the checkpoint by a step or two, so that the file has changed since.
    sleep 2
    lose "$job"
    wait_for_state "$job" COMPLETED 180
    assert_contains "$(cat /shared/alice/moved.out)" 'rewrote /shared/alice/moved.h5'
    assert_equal "$(job_field "$job" Restarts)" 1
    cmp /shared/alice/plain.h5 /shared/alice/moved.h5
    diff <(grep '^step' /shared/alice/plain.out) <(grep '^step' /shared/alice/moved.out)
    as alice ctl h5dump -H /shared/alice/moved.h5
    as alice ctl python3 -c "import h5py; t = h5py.File('/shared/alice/moved.h5')['temperature']; assert t.shape == (30, 256, 256) and t[29].max() > 1"
}
