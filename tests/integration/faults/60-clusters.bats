# Jobs with one id and one --checkpoint-dir: of two clusters, and of one whose ids start again.

load ../lib

# cluster NAME FIRST: from now on the machines are that cluster, as it was when they last were; if
# it is a new one, its first job has the id FIRST.
cluster() {
    on ctl /src/lab/lib/coordinator stop
    halt_slurm
    # shellcheck disable=SC2016 # expanded on the node
    on ctl sh -c 'is=$(sed -n "s/^ClusterName=//p" /etc/slurm/slurm.conf)
        for place in /var/lib/slurm/slurmctld /var/lib/holdfast; do
            mv "$place" "$place.$is"
            [ ! -e "$place.$1" ] || mv "$place.$1" "$place"
        done' sh "$1"
    everywhere sed -i "s/^ClusterName=.*/ClusterName=$1/; s/^FirstJobId=.*/FirstJobId=$2/" /etc/slurm/slurm.conf
    start_slurm
    on ctl /src/lab/lib/coordinator start
}

# forget FIRST: slurmctld has lost its state, and the next job has the id FIRST.
forget() {
    halt_slurm
    on ctl rm -r /var/lib/slurm/slurmctld
    everywhere sed -i "s/^FirstJobId=.*/FirstJobId=$1/" /etc/slurm/slurm.conf
    start_slurm
}
# next_is ID: jobs that do nothing take the ids before it.
next_is() {
    local last=0
    while [ "$last" -lt $(($1 - 1)) ]; do
        last=$(submit --hold --wrap true)
        alice scancel "$last"
    done
}
everywhere() { for node in ctl n1 n2 n3 n4; do on "$node" "$@"; done; }
halt_slurm() {
    for node in n1 n2 n3 n4; do on "$node" pkill -x slurmd || true; done
    on ctl pkill -x slurmctld || true
    eventually 30 slurm_is_gone
}
slurm_is_gone() {
    for node in ctl n1 n2 n3 n4; do ! on "$node" pgrep -x 'slurmd|slurmctld' >/dev/null || return 1; done
}
start_slurm() {
    on ctl install -d -o slurm -g slurm -m 755 /var/lib/slurm/slurmctld
    on ctl slurmctld
    for node in n1 n2 n3 n4; do on "$node" slurmd; done
    /src/lab/lib/wait-idle 60
}

setup_file() {
    idle_cluster
    [ -n "$(on ctl sacctmgr --noheader show cluster other)" ] || on ctl sacctmgr --immediate add cluster other
}
is_cluster() { [ "$(on ctl sed -n 's/^ClusterName=//p' /etc/slurm/slurm.conf)" = "$1" ]; }
setup() {
    is_cluster lab || cluster lab 10001 # a test may have failed
    on ctl rm -rf /var/lib/slurm/slurmctld.other /var/lib/holdfast.other
    alice rm -rf ckpt
}
teardown_file() {
    on ctl scancel --user=alice --quiet || true
    eventually 60 no_jobs
    setup
    on ctl scancel --user=alice --quiet || true
    eventually 60 no_jobs
}

# counting NAME: a job that counts into NAME.out until there is a file NAME.go; prints its id.
counting() {
    alice rm -f "$1.go" "$1.out"
    submit --checkpoint --checkpoint-dir=/shared/alice/ckpt -o "$1.out" <<END
#!/bin/bash
until [ -e $1.go ]; do echo \$((n++)); sleep 0.1; done
echo whole
END
}
# Every number once, in order, then the end.
whole() { on ctl awk '/^whole$/ { ends++; next } $1 != n++ || ends { exit bad = 1 } END { exit bad || ends != 1 || n < 10 }' "/shared/alice/$1.out"; }
# saved JOB [OPTION]: once it runs.
saved() {
    eventually 60 details_are "$1" .state running
    alice holdfast save "$@"
}
# stopped NAME: a job as above, saved and held; prints its id.
stopped() {
    local job
    job=$(counting "$1")
    wait_for_text "/shared/alice/$1.out" 12
    saved "$job" --stop >&2
    wait_for_state "$job" PENDING
    echo "$job"
}
# goes_on NAME JOB: it does, to a good end.
goes_on() {
    alice holdfast resume "$2"
    eventually 90 details_are "$2" .state running
    alice touch "$1.go"
    wait_for_state "$2" COMPLETED
    whole "$1"
}
# restored NAME JOB: another job goes on from its newest checkpoint, to a good end.
restored() {
    local job
    job=$(submit --checkpoint-dir=/shared/alice/ckpt --restore-from="$2" -o restored.out <<<$'#!/bin/bash\nfalse')
    eventually 60 details_are "$job" .state running
    assert_equal "$(details "$job" .restored_from.job_id)" "$2"
    alice touch "$1.go"
    wait_for_state "$job" COMPLETED
    whole "$1"
}
places() { on ctl ls /shared/alice/ckpt; }
place_of() { on ctl sh -c "ls -d /shared/alice/ckpt/$1-$2-*"; } # CLUSTER JOB

# bats test_tags=slice
@test "two clusters with one directory and one job id: each job goes on from its own checkpoints" {
    job=$(stopped lab)
    ours=$(basename "$(place_of lab "$job")")
    assert_equal "$(details "$job" '.cluster + "-" + (.job_id | tostring) + "-" + .submitted')" "$ours"

    cluster other $((job - 5))
    next_is "$job"
    theirs=$(counting other)
    assert_equal "$theirs" "$job"
    wait_for_text /shared/alice/other.out 12
    eventually 60 details_are "$theirs" .state running
    assert_equal "$(committed "$theirs")" 0
    saved "$theirs"
    move "$theirs"
    assert_equal "$(details "$theirs" '.cluster, .restored_from.checkpoint > 0')" $'other\ntrue'
    assert_equal "$(places | wc -l)" 2
    assert_contains "$(alice holdfast verify "$theirs")" good
    alice touch other.go
    wait_for_state "$theirs" COMPLETED
    whole other
    # Its good end removed its own, and nothing else.
    assert_equal "$(places)" "$ours"
    refused=$(submit --restore-from="$theirs" --checkpoint-dir=/shared/alice/ckpt --wrap true 2>&1) || true
    assert_contains "$refused" "job $theirs has no checkpoint"

    cluster lab 10001
    goes_on lab "$job"
}

@test "another cluster's checkpoint, put in the place of one's own, is refused, and the job held" {
    job=$(stopped lab)
    ours=$(place_of lab "$job")
    cluster other $((job - 5))
    next_is "$job"
    theirs=$(stopped swapped)
    place=$(place_of other "$theirs")
    alice sh -c "mv $place kept && cp -a $ours $place"
    alice holdfast resume "$theirs"
    eventually 90 details_are "$theirs" .state held
    assert_contains "$(details "$theirs" .last_error)" 'or by another cluster than other'
    alice scancel "$theirs"
    alice rm -rf kept
    cluster lab 10001
    goes_on lab "$job"
}

@test "ids that start again: a job neither sees nor harms what an earlier one with its id has left" {
    cluster other 20001
    old=$(stopped old)
    place=$(place_of other "$old")
    forget $((old - 5))
    next_is "$old"
    new=$(counting new)
    assert_equal "$new" "$old"
    wait_for_text /shared/alice/new.out 12
    eventually 60 details_are "$new" .state running
    assert_equal "$(committed "$new")" 0
    # Slurm starts it again: still it has nothing to do with the old one's.
    saved "$new"
    move "$new"
    assert_equal "$(details "$new" '.restored_from.checkpoint > 0, (.moves | length)')" $'true\n1'
    alice touch new.go
    wait_for_state "$new" COMPLETED
    whole new
    assert_equal "$(places)" "$(basename "$place")"
    time=${place##*-}
    assert_contains "$(alice holdfast verify "$old" --checkpoint-dir=/shared/alice/ckpt --submitted="$time")" good
    restored old "$old"
    alice holdfast prune "$old" --keep=0 --checkpoint-dir=/shared/alice/ckpt --submitted="$time"
    assert_run ! on ctl ls -d "$place"
    cluster lab 10001
}

@test "a job of before jobs had names is saved and restored where it was, by its id alone" {
    alice rm -f early.go early.out
    job=$(submit --hold --checkpoint --checkpoint-dir=/shared/alice/ckpt -o early.out <<'END'
#!/bin/bash
until [ -e early.go ]; do echo $((n++)); sleep 0.1; done
echo whole
END
    )
    forget_time "$job"
    alice scontrol release "$job"
    wait_for_text /shared/alice/early.out 12
    saved "$job"
    assert_equal "$(places)" "$job"
    move "$job"
    assert_equal "$(details "$job" '.submitted, .restored_from.checkpoint > 0')" $'\ntrue'
    assert_contains "$(alice holdfast verify "$job")" good
    saved "$job" --stop
    wait_for_state "$job" PENDING
    alice scancel "$job"
    wait_for_end "$job"
    restored early "$job"
    alice holdfast prune "$job" --keep=0
    assert_equal "$(places)" ''
}
# forget_time JOB: as if an sbatch of then had submitted it. It must wait.
forget_time() {
    on ctl pkill -x slurmctld
    eventually 30 slurmctld_is_gone
    on ctl python3 - "$1" <<'END'
import glob, sys
[path] = glob.glob(f"/var/lib/slurm/slurmctld/hash.*/job.{sys.argv[1]}/environment")
with open(path, "rb") as file:
    data = file.read()
ours = b"SLURM_HOLDFAST_SUBMITTED="
assert data.count(ours) == 1
with open(path, "wb") as file:  # in place, and as long: slurmctld wants both
    file.write(data.replace(ours, b"OF_NO_MEANING_TO_ANYBODY="))
END
    on ctl slurmctld
    /src/lab/lib/wait-idle 60
}
slurmctld_is_gone() { ! on ctl pgrep -x slurmctld; }
