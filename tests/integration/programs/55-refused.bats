# What can be seen beforehand not to move is refused by name, and the job goes on.

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
}

# refused NAME WORDS <COMMANDS: a job that runs them in a directory of its own, prints READY, and
# "went well" when there is a file "go".
refused() {
    local name=$1 words=$2 job
    alice mkdir "$name"
    job=$( (printf '#!/bin/bash\n'; cat) | alice sbatch --parsable -D "/shared/alice/$name" -o "/shared/alice/$name.out" --checkpoint --checkpoint-dir=/shared/alice/ckpt)
    wait_for_text "/shared/alice/$name.out" READY
    assert_run ! alice holdfast save "$job"
    assert_contains "$output" "$words"
    job_is "$job" RUNNING
    alice touch "$name/go"
    wait_for_state "$job" COMPLETED
    assert_contains "$(on ctl cat "/shared/alice/$name.out")" 'went well'
}

@test "a program whose main thread has ended" {
    refused without-main '(mainless) has lost its main thread' <<'END'
../mainless &
sleep 1
echo READY
wait $!
[ $? = 9 ] && echo went well
END
}

@test "a traced program" {
    refused traced 'is traced by process' <<'END'
strace -f -o trace bash -c 'echo READY; until [ -e go ]; do sleep 0.1; done; echo went well'
END
}

@test "a container" {
    refused container 'is in a container (user namespace) in the job' <<'END'
unshare --user --map-root-user bash -c 'echo READY; until [ -e go ]; do sleep 0.1; done; echo went well'
END
}

@test "an open file of a thread in /proc" {
    refused threads 'a file of one of its threads' <<'END'
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
    refused local "is this node's own (node.local_directories)" <<'END'
mkdir "/srv/local/$SLURM_JOB_ID"
exec 5<>"/srv/local/$SLURM_JOB_ID/scratch"
echo READY
until [ -e go ]; do sleep 0.1; done
echo went well >&5
cat "/srv/local/$SLURM_JOB_ID/scratch"
rm -r "/srv/local/$SLURM_JOB_ID"
END
}

teardown() { for node in n1 n2 n3 n4; do on "$node" sed -i '/local_directories/d' /etc/holdfast/holdfast.yaml; done; }
