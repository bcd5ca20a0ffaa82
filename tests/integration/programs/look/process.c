#include "look.h"

#include <linux/ioprio.h>
#include <linux/securebits.h>
#include <pthread.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

// --- what prctl, sched and /proc know of a process
static void* sleeper(void* name) {
  prctl(PR_SET_NAME, name);
  setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 7);
  while (1) pause();
  return NULL;
}
static void write_text(const char* path, const char* text) {
  FILE* file = fopen(path, "w");
  if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0) SAY("%s: %s", path, strerror(errno));
}
static void set_attributes(void) {
  pthread_t thread;
  prctl(PR_SET_NAME, "renamed");
  prctl(PR_SET_TIMERSLACK, 123456);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  setpriority(PRIO_PROCESS, 0, 3);
  syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 6));
  write_text("/proc/self/oom_score_adj", "321");
  write_text("/proc/self/coredump_filter", "0x11");
  struct sched_param none = {0};
  sched_setscheduler(0, SCHED_BATCH, &none);
  umask(027);
  pthread_create(&thread, NULL, sleeper, "worker");
  usleep(100000);
}
static void print_file(const char* path) {
  char text[256] = {0};
  FILE* file = fopen(path, "r");
  if (file != NULL && fgets(text, sizeof text, file) != NULL) printf("%s %s", path, text);
  if (file != NULL) fclose(file);
}
static void tell_attributes(void) {
  char name[17] = {0};
  int subreaper = -1;
  prctl(PR_GET_NAME, name);
  prctl(PR_GET_CHILD_SUBREAPER, &subreaper);
  SAY("name %s slack %d subreaper %d", name, prctl(PR_GET_TIMERSLACK), subreaper);
  SAY("thp %d no_new_privs %d dumpable %d", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0),
      prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), prctl(PR_GET_DUMPABLE));
  SAY("nice %d io %ld policy %d", getpriority(PRIO_PROCESS, 0), syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0),
      sched_getscheduler(0));
  SAY("umask %o", umask(0));
  print_file("/proc/self/oom_score_adj");
  print_file("/proc/self/coredump_filter");
  fflush(stdout);
  if (system("for t in /proc/$PPID/task/*; do cat $t/comm; awk '{ print $19 }' $t/stat; done") != 0) SAY("no tasks");
}

// --- not dumpable
static void set_undumpable(void) { prctl(PR_SET_DUMPABLE, 0); }
static void tell_undumpable(void) { SAY("dumpable %d", prctl(PR_GET_DUMPABLE)); }

// --- personality
static void set_personality(void) { check(personality(ADDR_NO_RANDOMIZE | STICKY_TIMEOUTS), "personality"); }
static void tell_personality(void) { SAY("personality %x", personality(0xffffffff)); }

// --- limits
static const int limits[] = {RLIMIT_CORE, RLIMIT_STACK, RLIMIT_NOFILE, RLIMIT_FSIZE, RLIMIT_CPU, RLIMIT_NPROC,
                             RLIMIT_SIGPENDING, RLIMIT_MSGQUEUE, RLIMIT_MEMLOCK, RLIMIT_AS};
static void set_limits(void) {
  for (size_t i = 0; i < sizeof limits / sizeof *limits; ++i) {
    struct rlimit limit;
    getrlimit(limits[i], &limit);
    if (limit.rlim_max == RLIM_INFINITY) limit.rlim_max = (rlim_t)1 << 40;
    limit.rlim_cur = limit.rlim_max / 2;
    if (setrlimit(limits[i], &limit) != 0) SAY("limit %d: %s", limits[i], strerror(errno));
  }
}
static void tell_limits(void) {
  for (size_t i = 0; i < sizeof limits / sizeof *limits; ++i) {
    struct rlimit limit;
    getrlimit(limits[i], &limit);
    SAY("limit %d %d %d", limits[i], limit.rlim_cur == limit.rlim_max / 2, limit.rlim_max == RLIM_INFINITY);
  }
}

// --- the tree: groups, sessions, zombies, stopped children, orphans
static pid_t zombie, stopped, leader, grandchild;
static void set_tree(void) {
  int ready[2];
  check(pipe(ready), "pipe");
  if ((zombie = fork()) == 0) _exit(42);
  if ((stopped = fork()) == 0) {
    raise(SIGSTOP);
    _exit(43);
  }
  if ((leader = fork()) == 0) {
    setsid();
    if ((grandchild = fork()) == 0) {
      setpgid(0, 0);
      while (1) pause();
    }
    check(write(ready[1], &grandchild, sizeof grandchild), "write");
    while (1) pause();
  }
  check(read(ready[0], &grandchild, sizeof grandchild), "read");
  siginfo_t info;
  waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT);
  usleep(100000);
}
static void tell_tree(void) {
  int status = 0;
  SAY("session %d group %d", getsid(leader) == leader, getpgid(grandchild) == grandchild);
  SAY("grandchild in session %d", getsid(grandchild) == leader);
  waitpid(zombie, &status, 0);
  SAY("zombie %d", WEXITSTATUS(status));
  waitpid(stopped, &status, WUNTRACED);
  SAY("stopped %d", WIFSTOPPED(status) ? WSTOPSIG(status) : -1);
  kill(stopped, SIGCONT);
  waitpid(stopped, &status, 0);
  SAY("went on %d", WEXITSTATUS(status));
  kill(grandchild, SIGKILL);
  kill(leader, SIGKILL);
  waitpid(leader, &status, 0);
  SAY("leader %d", WTERMSIG(status));
}

// --- a death signal
static volatile sig_atomic_t died;
static void on_death(int signal) { died = signal; }
static int report[2];
static void set_pdeath(void) {
  check(pipe(report), "pipe");
  const pid_t middle = fork();
  if (middle == 0) {
    if (fork() == 0) {
      prctl(PR_SET_PDEATHSIG, SIGUSR1);
      signal(SIGUSR1, on_death);
      while (!died) usleep(20000);
      check(write(report[1], "told", 4), "write");
      _exit(0);
    }
    while (1) pause();
  }
  zombie = middle;
  usleep(200000);
}
static void tell_pdeath(void) {
  char text[8] = {0};
  kill(zombie, SIGKILL);
  alarm(5);
  SAY("death signal %zd %s", read(report[0], text, 4), text);
}

// --- pidfd of a child
static int pidfd;
static void set_pidfd(void) {
  zombie = fork();
  if (zombie == 0) {
    pause();
    _exit(0);
  }
  pidfd = check(syscall(SYS_pidfd_open, zombie, 0), "pidfd");
}
static void tell_pidfd(void) {
  int status;
  SAY("signal %ld", syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0));
  waitpid(zombie, &status, 0);
  SAY("ended by %d", WTERMSIG(status));
}

// --- a seccomp filter and a keyring
static long key;
static void set_keyring(void) {
  syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, "look");
  key = check(syscall(SYS_add_key, "user", "look:key", "secret", 6, -3 /* session */), "add_key");
}
static void tell_keyring(void) {
  char text[16] = {0};
  SAY("key %ld %s", syscall(SYS_keyctl, 11 /* KEYCTL_READ */, key, text, sizeof text - 1), text);
}

const struct kind process_kinds[] = {{"attributes", "names, priorities, timer slack, subreaper, no_new_privs, core dump filter", set_attributes, tell_attributes},
                                     {"undumpable", "a process that is not dumpable", set_undumpable, tell_undumpable},
                                     {"personality", "personality(2)", set_personality, tell_personality},
                                     {"limits", "resource limits", set_limits, tell_limits},
                                     {"tree", "sessions, groups, zombies, stopped children", set_tree, tell_tree},
                                     {"pdeath", "parent death signals", set_pdeath, tell_pdeath},
                                     {"pidfd", "a pidfd of a child", set_pidfd, tell_pidfd},
                                     {"keyring", "keys in a session keyring", set_keyring, tell_keyring},
                                     {0}};
