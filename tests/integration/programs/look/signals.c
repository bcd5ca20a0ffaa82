#include "look.h"

#include <pthread.h>
#include <sys/syscall.h>

static volatile sig_atomic_t seen, value;
static void on_signal(int signal, siginfo_t* info, void* context) {
  (void)context;
  seen = signal;
  value = info->si_int;
}

// --- pending signals with values, masks, actions, an alternative stack
static char stack[65536];
static volatile int on_stack;
static void on_usr2(int signal) {
  char here;
  on_stack = signal == SIGUSR2 && &here >= stack && &here < stack + sizeof stack;
}
static pthread_t thread;
static volatile int thread_mask_ok, go;
static void* masked(void* nothing) {
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGHUP);
  sigaddset(&mask, SIGUSR1);
  sigaddset(&mask, SIGRTMIN + 1);
  pthread_sigmask(SIG_SETMASK, &mask, NULL);
  pthread_kill(pthread_self(), SIGHUP);
  while (!go) usleep(10000);
  sigset_t now, pending;
  pthread_sigmask(SIG_SETMASK, NULL, &now);
  sigpending(&pending);
  thread_mask_ok = sigismember(&now, SIGHUP) + 2 * sigismember(&now, SIGUSR2) + 4 * sigismember(&pending, SIGHUP);
  return nothing;
}
static void set_signals(void) {
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR1);
  sigaddset(&mask, SIGRTMIN + 1);
  sigprocmask(SIG_BLOCK, &mask, NULL);
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
  sigaction(SIGUSR1, &action, NULL);
  sigaction(SIGRTMIN + 1, &action, NULL);
  signal(SIGPIPE, SIG_IGN);
  const stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
  sigaltstack(&other, NULL);
  action = (struct sigaction){.sa_handler = on_usr2, .sa_flags = SA_ONSTACK | SA_RESETHAND};
  sigaction(SIGUSR2, &action, NULL);
  sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 17});
  for (int i = 0; i < 3; ++i) sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 100 + i});
  pthread_create(&thread, NULL, masked, NULL);
  usleep(100000);
}
static void tell_signals(void) {
  struct sigaction action;
  siginfo_t info;
  sigset_t rt;
  sigaction(SIGPIPE, NULL, &action);
  SAY("SIGPIPE ignored %d", action.sa_handler == SIG_IGN);
  sigaction(SIGUSR2, NULL, &action);
  SAY("SIGUSR2 flags %x", action.sa_flags & (SA_ONSTACK | (int)SA_RESETHAND | SA_RESTART));
  raise(SIGUSR2);
  SAY("on its stack %d", on_stack);
  sigemptyset(&rt);
  sigaddset(&rt, SIGRTMIN + 1);
  for (int i = 0; i < 3; ++i) {
    sigwaitinfo(&rt, &info);
    SAY("queued %d code %d", info.si_int, info.si_code);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  SAY("USR1 %d with %d", seen == SIGUSR1, (int)value);
  go = 1;
  pthread_join(thread, NULL);
  SAY("thread %d", thread_mask_ok);
}

// --- a robust mutex whose owner dies, and a condition variable shared between processes
#include <sys/mman.h>
static pthread_mutex_t* mutex;
static pid_t owner;
static void set_robust(void) {
  pthread_mutexattr_t attributes;
  mutex = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(mutex, &attributes);
  owner = fork();
  if (owner == 0) {
    pthread_mutex_lock(mutex);
    while (1) pause();
  }
  usleep(200000);
}
static void tell_robust(void) {
  SAY("held %d", pthread_mutex_trylock(mutex) == EBUSY);
  kill(owner, SIGKILL);
  waitpid(owner, NULL, 0);
  alarm(5);
  SAY("owner died %d", pthread_mutex_lock(mutex) == EOWNERDEAD);
}

// --- the floating point environment
#include <fenv.h>
#include <xmmintrin.h>
static void set_float(void) {
  fesetround(FE_UPWARD);
  _mm_setcsr(_mm_getcsr() | 0x8040);
}
static void tell_float(void) { SAY("rounds %d csr %x", fegetround() == FE_UPWARD, _mm_getcsr() & 0xffc0); }

const struct kind signal_kinds[] = {
    {"signals", "masks, pending signals with values, actions, alternative stacks", set_signals, tell_signals}, {"robust", "robust mutexes between processes", set_robust, tell_robust}, {"float", "rounding modes and vector control registers", set_float, tell_float}, {0}};
