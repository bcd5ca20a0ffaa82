# A user who swaps what a job has open for a link to what only root may reach, between a save and the
# restore. The unit tests (tests/unit/warden/attack_test.cc) have each kind of file; these go through Slurm.

load ../lib

# A file of root's, as long as the site key: one that the job may not read.
setup_file() {
    idle_cluster
    for node in n1 n2 n3 n4; do
        on "$node" sh -c 'head -c 64 /etc/holdfast/site.key >/root/key; chmod 600 /root/key'
    done
}

setup() { on ctl rm -rf /shared/alice/go /shared/alice/data; }

# saved_with SCRIPT: a job of alice's that has run SCRIPT, said "ready", been saved and held; prints its id.
saved_with() {
    local job
    job=$(submit --checkpoint -o swap.out <<<"#!/bin/bash
$1
echo ready
until [ -e go ]; do sleep 0.1; done
cat <&5 >read.out
echo done")
    wait_for_text /shared/alice/swap.out ready
    alice holdfast save "$job" --stop >&2
    wait_for_state "$job" PENDING
    echo "$job"
}

@test "a file that became a link to a file of root's is not read" {
    length=$(on n1 stat -c %s /etc/holdfast/site.key)
    job=$(saved_with "head -c $length /dev/zero >data; chmod 400 data; exec 5<data")
    alice sh -c 'rm -f data; ln -s /etc/holdfast/site.key data; touch go'
    alice holdfast resume "$job"
    eventually 120 details_are "$job" .state held
    assert_contains "$(details "$job" .last_error)" shared/alice/data
    assert_run ! alice test -e read.out
    alice scancel "$job"
}

@test "a file that became a link to a file of root's is not written to" {
    before=$(on n1 sha256sum /etc/hostname /root/key; on n2 sha256sum /etc/hostname /root/key)
    job=$(submit --checkpoint --checkpoint-rollback=off -o write.out <<<$'#!/bin/bash\nwc -c </etc/hostname >size; head -c $(cat size) /dev/zero >data; exec 5<>data; echo ready; until [ -e go ]; do sleep 0.1; done; echo changed >&5; echo done')
    wait_for_text /shared/alice/write.out ready
    alice holdfast save "$job" --stop
    wait_for_state "$job" PENDING
    alice sh -c 'rm data; ln -s /etc/hostname data; touch go'
    alice holdfast resume "$job"
    eventually 120 details_are "$job" .state held
    assert_equal "$(on n1 sha256sum /etc/hostname /root/key; on n2 sha256sum /etc/hostname /root/key)" "$before"
    alice scancel "$job"
}

@test "a socket of root's is not replaced" {
    before=$(on n1 stat -c %i /run/munge/munge.socket.2; on n2 stat -c %i /run/munge/munge.socket.2)
    job=$(submit --checkpoint -o socket.out <<<$'#!/bin/bash
mkdir -p run
exec python3 -c \'
import os, socket, time
s = socket.socket(socket.AF_UNIX); s.bind("/shared/alice/run/munge.socket.2"); s.listen()
print("ready", flush=True)
while not os.path.exists("go"): time.sleep(0.1)\'')
    wait_for_text /shared/alice/socket.out ready
    alice holdfast save "$job" --stop
    wait_for_state "$job" PENDING
    alice sh -c 'rm -r run; ln -s /run/munge run; touch go'
    alice holdfast resume "$job"
    eventually 120 details_are "$job" .state held
    assert_equal "$(on n1 stat -c %i /run/munge/munge.socket.2; on n2 stat -c %i /run/munge/munge.socket.2)" "$before"
    alice scancel "$job"
}

@test "a job moves whose directory root cannot enter" {
    alice sh -c 'rm -rf /squash/*; printf "#!/bin/sh\nexec sleep 0.1\n" >/squash/nap; chmod 700 /squash/nap'
    job=$(submit --checkpoint --partition=spot -o squash.out <<<$'#!/bin/bash
cd /squash
mkdir work; cd work
exec 5<>data 6>>log
printf 0123456789 >&5
for i in {1..400}; do
    echo $i >&6
    ./../nap
    [ $i != 5 ] || echo started
    [ ! -e /squash/stop ] || break
done
echo here: $(pwd) $(stat -c %U data) $(cat data) >&6
tail -n 1 log')
    wait_for_text /shared/alice/squash.out started
    move "$job"
    alice touch /squash/stop
    wait_for_end "$job"
    assert_equal "$(job_field "$job" JobState)" COMPLETED
    assert_contains "$(on ctl cat /shared/alice/squash.out)" 'here: /squash/work alice 0123456789'
}
