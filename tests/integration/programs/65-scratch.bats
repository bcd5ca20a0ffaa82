# Directories on the node's disk that each job has to itself (node.private_directories).

load ../lib
load programs

nodes='n1 n2 n3 n4'
place=/scratch/.holdfast

setup_file() {
    idle_cluster
    for node in $nodes; do
        on "$node" install -d -m 1777 /scratch
        on "$node" cp /etc/holdfast/holdfast.yaml /etc/holdfast/holdfast.yaml.before
        on "$node" sed -i "/^node:/a\\  private_directories: /tmp,/var/tmp,/scratch\\n  private_place: $place" /etc/holdfast/holdfast.yaml
    done
}

teardown_file() {
    for node in $nodes; do on "$node" mv /etc/holdfast/holdfast.yaml.before /etc/holdfast/holdfast.yaml; done
}

setup() {
    idle_cluster
    for node in $nodes; do on "$node" rm -rf /scratch/alice.tmp; done # Slurm makes it on the node, too
}

# Of jobs' files, on any node.
left() {
    for node in $nodes; do
        on "$node" sh -c "mkdir -p $place; ls -A $place; find /scratch /var/tmp /tmp -user alice ! -path '$place/*'"
    done
}
nothing_left() { [ -z "$(left)" ]; }

# bats test_tags=slice
@test "files in them are open, mapped, locked, deleted, worked in, and move" {
    script=$(printf '#!/bin/bash\nexec python3 %s/scratch.py /tmp /var/tmp /scratch\n' "$programs")
    unmoved scratch <<<"$script"
    moved scratch READY <<<"$script"
    assert_same scratch
    assert_contains "$(on ctl cat /shared/alice/scratch.moved)" 'well done'
    eventually 30 nothing_left || assert_equal "$(left)" ''
}

@test "each pod has its own, and steps too find TMPDIR" {
    script=$(cat <<'END'
#!/bin/bash
echo "script $(python3 -c 'import tempfile; print(tempfile.gettempdir())')"
srun bash -c 'echo $SLURM_PROCID >"$TMPDIR/mine"; [ "$SLURM_PROCID" = 0 ] && echo READY >&2; until [ -e go ]; do sleep 0.1; done; echo $TMPDIR $(cat "$TMPDIR"/*); rm -r "$TMPDIR"' | sort
END
    )
    export_tmp=--export=ALL,TMPDIR=/scratch/alice.tmp
    unmoved pods -N2 "$export_tmp" <<<"$script"
    moved pods READY -N2 "$export_tmp" <<<"$script"
    assert_same pods
    assert_contains "$(on ctl cat /shared/alice/pods.moved)" '/scratch/alice.tmp 1'
}

@test "nobody else gets in, neither on the node nor in another job" {
    alice sh -c 'mkdir mine'
    job=$(alice sbatch --parsable -w n1 -D /shared/alice/mine -o /shared/alice/mine.out --checkpoint --checkpoint-dir=/shared/alice/ckpt --wrap 'for d in /tmp /var/tmp /scratch; do echo secret >$d/secret; chmod 644 $d/secret; done; echo READY; until [ -e go ]; do sleep 0.1; done')
    wait_for_text /shared/alice/mine.out READY
    assert_equal "$(on n1 sh -c "cat $place/*/*/secret" | xargs)" 'secret secret secret'
    assert_run ! as bob n1 ls "$place/$job-0-0"
    assert_run ! as bob n1 cat "$place/$job-0-0/0/secret"
    assert_equal "$(as bob n1 find /scratch /tmp /var/tmp -name secret 2>/dev/null)" ''
    on ctl install -d -o bob -g bob /shared/bob
    as bob ctl env -C /shared/bob sbatch --wait -w n1 -o bob.out --checkpoint --checkpoint-dir=/shared/bob/ckpt --wrap 'ls -A /tmp /var/tmp /scratch; stat -c %a /scratch'
    assert_equal "$(on ctl cat /shared/bob/bob.out | xargs)" '/scratch: /tmp: /var/tmp: 1777'
    alice touch mine/go
    wait_for_state "$job" COMPLETED
}

@test "what a killed warden leaves is removed by the next on the node" {
    alice mkdir killed
    job=$(alice sbatch --parsable -D /shared/alice/killed -o /shared/alice/killed.out --checkpoint --checkpoint-dir=/shared/alice/ckpt --wrap 'mkdir -p /scratch/a/b; echo kept >/scratch/a/b/file; echo READY; until [ -e go ]; do sleep 0.1; done; cat /scratch/a/b/file')
    wait_for_text /shared/alice/killed.out READY
    eventually 60 alice holdfast save "$job"
    node=$(job_field "$job" NodeList)
    on "$node" pkill -KILL -x holdfast-warden
    wait_for_restart "$job" 1
    alice sbatch --wait -w "$node" -o /dev/null --checkpoint --checkpoint-dir=/shared/alice/ckpt --wrap true
    assert_equal "$(on "$node" sh -c "ls -A $place" | grep -v "^$job-1-0\$")" ''
    alice touch killed/go
    wait_for_state "$job" COMPLETED
    assert_contains "$(on ctl cat /shared/alice/killed.out)" kept
    eventually 30 nothing_left || assert_equal "$(left)" ''
}

@test "a node whose disk has not the room refuses the job in clear words" {
    alice mkdir full
    job=$(alice sbatch --parsable -D /shared/alice/full -o /shared/alice/full.out --checkpoint --checkpoint-dir=/shared/alice/ckpt --wrap 'head -c 20000000 /dev/urandom >/scratch/file; before=$(sha256sum </scratch/file); echo READY; until [ -e go ]; do sleep 0.1; done; [ "$before" = "$(sha256sum </scratch/file)" ] && echo well done')
    wait_for_text /shared/alice/full.out READY
    eventually 60 alice holdfast save "$job"
    others=$(echo "$nodes" | sed "s/$(job_field "$job" NodeList)//")
    for node in $others; do on "$node" sh -c "mkdir -p $place && mount -t tmpfs -o size=4m,mode=0700 tmpfs $place"; done
    alice holdfast migrate "$job" || true # it waits for the end
    eventually 120 details_are "$job" .state held
    for node in $others; do on "$node" umount "$place"; done
    assert_contains "$(alice holdfast show "$job")" "the job's files in /scratch take 19.1 MiB, and on this node there are 4.0 MiB left for them"
    alice holdfast resume "$job"
    eventually 60 details_are "$job" .state running
    alice touch full/go
    wait_for_state "$job" COMPLETED
    assert_contains "$(on ctl cat /shared/alice/full.out)" 'well done'
}

@test "output that would vanish with the job is refused" {
    job=$(alice sbatch --parsable -w n1 -o /scratch/lost.out --checkpoint --checkpoint-dir=/shared/alice/ckpt --wrap 'echo never')
    wait_for_state "$job" FAILED
    assert_contains "$(on n1 cat /scratch/lost.out)" 'in a directory that a checkpointed job has to itself (node.private_directories)'
    on n1 rm /scratch/lost.out
}
