# What does not move is refused by name, and the job goes on. The documentation has the words.

load ../lib

setup_file() {
    idle_cluster
    alice sh -c 'cat >mainless.c' <<'END'
#include <pthread.h>
#include <unistd.h>
static void* go_on(void* unused) {
  (void)unused;
  while (access("go", F_OK) != 0) usleep(50000);
  _exit(9);
}
int main(void) {
  pthread_t thread;
  pthread_create(&thread, 0, go_on, 0);
  pthread_exit(0);
}
END
    alice cc -o mainless mainless.c -lpthread
    : >/tmp/refused.tsv
}

# refused NAME WHAT WORDS <COMMANDS: a job that has WHAT, and runs them in a directory of its own, prints READY, and
# "went well" when there is a file "go".
refused() {
    local name=$1 what=$2 words=$3 job
    alice mkdir "$name"
    job=$( (printf '#!/bin/bash\n'; cat) | alice sbatch --parsable -D "/shared/alice/$name" -o "/shared/alice/$name.out" --checkpoint --checkpoint-dir=/shared/alice/ckpt)
    wait_for_text "/shared/alice/$name.out" READY
    assert_run ! alice holdfast save "$job"
    assert_contains "$output" "$words"
    printf '| %s | refused: %s |\n' "$what" "$words" >>/tmp/refused.tsv
    job_is "$job" RUNNING
    alice touch "$name/go"
    wait_for_state "$job" COMPLETED
    assert_contains "$(on ctl cat "/shared/alice/$name.out")" 'went well'
}

@test "a program whose main thread has ended" {
    refused without-main 'a process whose main thread has ended' 'has lost its main thread' <<'END'
../mainless &
sleep 1
echo READY
wait $!
[ $? = 9 ] && echo went well
END
}

@test "a traced program" {
    refused traced 'a process that is traced, by strace or a debugger' 'is traced by process' <<'END'
strace -f -o trace bash -c 'echo READY; until [ -e go ]; do sleep 0.1; done; echo went well'
END
}

@test "a container" {
    refused container 'a process in a user namespace of its own' 'is in a container (user namespace) in the job' <<'END'
unshare --user --map-root-user bash -c 'echo READY; until [ -e go ]; do sleep 0.1; done; echo went well'
END
}

@test "an open file of a thread in /proc" {
    refused threads 'a file of /proc of another thread of the process, open' 'a file of one of its threads' <<'END'
python3 -c '
import os, threading, time
def work():
    file = os.open("/proc/self/task/%d/schedstat" % threading.get_native_id(), os.O_RDONLY)
    print("READY", flush=True)
    while not os.path.exists("go"): time.sleep(0.1)
    if os.pread(file, 99, 0): print("went well", flush=True)
threading.Thread(target=work).start()'
END
}

@test "files in a directory of the node" {
    local_directory() { for node in n1 n2 n3 n4; do on "$node" "$@"; done; }
    local_directory install -d -m 1777 /srv/local
    local_directory sed -i '/^node:/a\  local_directories: /srv/local' /etc/holdfast/holdfast.yaml
    refused local 'a file open, or worked in, below `node.local_directories` (none unless the site says so)' "is this node's own (node.local_directories)" <<'END'
mkdir "/srv/local/$SLURM_JOB_ID"
exec 5<>"/srv/local/$SLURM_JOB_ID/scratch"
echo READY
until [ -e go ]; do sleep 0.1; done
echo went well >&5
cat "/srv/local/$SLURM_JOB_ID/scratch"
rm -r "/srv/local/$SLURM_JOB_ID"
END
}

# held KIND WHAT WORDS: of refused.py.
held() { refused "$1" "$2" "$3" <<<"exec python3 /src/tests/integration/programs/refused.py $1"; }

@test "performance counters" { held counter 'performance counters' 'uses performance counters, which CRIU cannot save'; }
@test "a device" { held device 'a device, such as /dev/fuse' 'open, which CRIU cannot save'; }
@test "a set-user-id program" { held set_user_id 'a set-user-id program' 'and only what runs as the job'"'"'s user can be saved'; }
@test "a datagram that came by IPv6 and was not read" { held datagram 'a datagram that came by IPv6 and was not read' 'datagrams wait there that came by IPv6; they are not saved'; }
@test "a datagram socket that is connected to a daemon of the node" {
    as alice ctl python3 -c 'import socket, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind("/shared/alice/log"); time.sleep(60)' 3>&- &
    eventually 10 on ctl test -S /shared/alice/log
    held syslog 'a datagram socket that is connected to a daemon of the node' 'a datagram socket that is connected to a daemon of the node'
}

@test "the documentation's table is what was refused" {
    [ "$(wc -l </tmp/refused.tsv)" = 10 ] || skip "not all have been tried in this run"
    diff <(sed '1,/<!-- refused -->/d; /<!-- refused end -->/,$d' /src/docs/what-moves.md) <(
        printf '| what a job has | a save |\n|---|---|\n'
        cat /tmp/refused.tsv)
}

teardown() { for node in n1 n2 n3 n4; do on "$node" sed -i '/local_directories/d' /etc/holdfast/holdfast.yaml; done; }
