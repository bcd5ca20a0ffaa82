#include "look.h"

#include <linux/landlock.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static volatile int ready, go;
static pthread_t thread;
static pid_t child;
static char* stack;

static void start(void* (*run)(void*)) {
  pthread_create(&thread, NULL, run, NULL);
  while (!ready) usleep(1000);
}
static void finish(void) {
  go = 1;
  pthread_join(thread, NULL);
}
static pid_t start_process(int (*run)(void*), int flags) {
  stack = malloc(1 << 16);
  return (pid_t)check(clone(run, stack + (1 << 16), flags, NULL), "clone");
}
static void say_directory(const char* whose) {
  char path[4096];
  SAY("%s works in %s", whose, strrchr(getcwd(path, sizeof path), '/'));
}

// --- a thread with a working directory of its own
static void* wanderer(void* nothing) {
  check(unshare(CLONE_FS), "unshare");
  mkdir("look.elsewhere", 0700);
  check(chdir("look.elsewhere"), "chdir");
  ready = 1;
  while (!go) usleep(10000);
  say_directory("the thread");
  return nothing;
}
static void set_wanderer(void) { start(wanderer); }
static void tell_wanderer(void) {
  say_directory("the process");
  finish();
}

// --- a thread with descriptors of its own
static int number;
static void say_contents(const char* who) {
  char text[8] = {0};
  const ssize_t size = pread(number, text, 7, 0);
  SAY("%s reads %zd %s", who, size, text);
}
static int make_file(const char* name) {
  const int fd = check(open(name, O_RDWR | O_CREAT | O_TRUNC, 0600), "open");
  check(write(fd, name, strlen(name)), "write");
  return fd;
}
static void* hoarder(void* nothing) {
  check(unshare(CLONE_FILES), "unshare");
  dup2(make_file("two"), number);
  ready = 1;
  while (!go) usleep(10000);
  say_contents("the thread");
  return nothing;
}
static void set_hoarder(void) {
  number = make_file("one");
  start(hoarder);
}
static void tell_hoarder(void) {
  say_contents("the process");
  finish();
}

// --- processes that share what threads share
static volatile int asked, answer;
static int helper(void* nothing) {
  (void)nothing;
  while (!asked) usleep(10000);
  answer = 7;
  _exit(5);
}
static void set_sharer(void) { child = start_process(helper, CLONE_VM | SIGCHLD); }
static void tell_sharer(void) {
  int status = 0;
  asked = 1;
  waitpid(child, &status, 0);
  SAY("answer %d status %x", answer, status);
}
static int companion(void* nothing) {
  (void)nothing;
  while (access("look.asked", F_OK) != 0) usleep(10000);
  mkdir("look.together", 0700);
  _exit(chdir("look.together"));
}
static void set_companion(void) { child = start_process(companion, CLONE_FS | SIGCHLD); }
static void tell_companion(void) {
  close(open("look.asked", O_CREAT | O_WRONLY, 0600));
  waitpid(child, NULL, 0);
  say_directory("the process");
}

// --- a child whose end sends another signal
static volatile sig_atomic_t told;
static void on_end(int signal) { told = signal; }
static int mute(void* nothing) {
  (void)nothing;
  while (access("look.end", F_OK) != 0) usleep(10000);
  _exit(6);
}
static void set_exitsignal(void) {
  signal(SIGUSR1, on_end);
  child = start_process(mute, SIGUSR1);
}
static void tell_exitsignal(void) {
  int status = 0;
  close(open("look.end", O_CREAT | O_WRONLY, 0600));
  while (!told) usleep(10000);
  SAY("told %d", told == SIGUSR1);
  SAY("plain wait %d", waitpid(-1, &status, 0));
  SAY("wait %d", waitpid(child, &status, __WCLONE) == child);
}

// --- sched_setattr(2)
struct attributes {
  unsigned size, policy;
  unsigned long flags;
  int nice;
  unsigned priority;
  unsigned long runtime, deadline, period;
};
static void set_scheduling(void) {
  struct attributes mine = {.size = 48, .policy = SCHED_BATCH, .flags = 1 /* RESET_ON_FORK */, .nice = 4, .runtime = 20000000};
  check(syscall(SYS_sched_setattr, 0, &mine, 0), "sched_setattr");
}
static void tell_scheduling(void) {
  struct attributes mine = {0};
  syscall(SYS_sched_getattr, 0, &mine, 48, 0);
  SAY("policy %d flags %lx nice %d slice %lu", mine.policy, mine.flags, mine.nice, mine.runtime);
}

// --- restrictions
static void set_landlock(void) {
  // Of what CRIU's own code in the process does, nothing is forbidden.
  const struct landlock_ruleset_attr rules = {.handled_access_fs = LANDLOCK_ACCESS_FS_MAKE_DIR};
  const long set = syscall(SYS_landlock_create_ruleset, &rules, sizeof rules, 0);
  if (set < 0) {
    SAY(ABSENT);
    return;
  }
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  check(syscall(SYS_landlock_restrict_self, set, 0), "landlock_restrict_self");
  close((int)set);
}
static void tell_landlock(void) { SAY("made %d", mkdir("look.forbidden", 0700)); }

// --- calls that are caught
static volatile char selector;
static volatile int caught;
static void on_call(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)context;
  selector = 0;
  caught = info->si_syscall;
}
static void set_dispatch(void) {
  const struct sigaction action = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO};
  sigaction(SIGSYS, &action, NULL);
  check(prctl(59 /* PR_SET_SYSCALL_USER_DISPATCH */, 1, 0, 0, &selector), "dispatch");
}
static void tell_dispatch(void) {
  selector = 1;
  syscall(SYS_getppid);
  selector = 0;
  SAY("caught %d", caught == SYS_getppid);
}

// --- many
static pthread_t many[400];
static void* idle(void* mine) {
  while (!go) usleep(200000);
  return mine;
}
static void set_many(void) {
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 1 << 16);
  for (long i = 0; i < 400; ++i)
    if (pthread_create(&many[i], &small, idle, (void*)i) != 0) check(-1, "pthread_create");
  number = check(open("/dev/null", O_RDONLY), "open");
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  for (int i = 0; i < 5000; ++i) check(i % 3 != 0 ? dup(number) : open("/dev/null", O_RDWR), "dup");
}
static void tell_many(void) {
  long sum = 0, open_files = 0;
  void* returned;
  go = 1;
  for (int i = 0; i < 400; ++i) {
    pthread_join(many[i], &returned);
    sum += (long)returned;
  }
  for (int i = 0; i < 20000; ++i) open_files += fcntl(i, F_GETFD) == 0;
  SAY("threads %ld descriptors %ld", sum, open_files);
}

const struct kind thread_kinds[] = {{"wanderer", "a thread with a working directory of its own", set_wanderer, tell_wanderer},
                                    {"hoarder", "a thread with descriptors of its own", set_hoarder, tell_hoarder},
                                    {"sharer", "memory that two processes share as threads do (CLONE_VM)", set_sharer, tell_sharer},
                                    {"companion", "a working directory that two processes share (CLONE_FS)", set_companion, tell_companion},
                                    {"exitsignal", "a child whose end sends another signal than SIGCHLD", set_exitsignal, tell_exitsignal},
                                    {"scheduling", "policies and slices of sched_setattr(2)", set_scheduling, tell_scheduling},
                                    {"landlock", "restrictions by Landlock", set_landlock, tell_landlock},
                                    {"dispatch", "system calls that a program catches itself", set_dispatch, tell_dispatch},
                                    {"many", "400 threads, 5,000 descriptors", set_many, tell_many},
                                    {0}};
