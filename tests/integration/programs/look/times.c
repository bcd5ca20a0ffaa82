#include "look.h"

#include <sys/time.h>
#include <sys/timerfd.h>

// --- timers of every kind: still there, with their intervals, and none ran out early
static timer_t timers[4];
static const int clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_PROCESS_CPUTIME_ID};
static void set_timers(void) {
  for (int i = 0; i < 4; ++i) {
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + i, .sigev_value.sival_int = i};
    check(timer_create(clocks[i], &event, &timers[i]), "timer_create");
    const struct itimerspec when = {.it_value = {.tv_sec = 5000 + i}, .it_interval = {.tv_sec = 10 + i}};
    check(timer_settime(timers[i], 0, &when, NULL), "timer_settime");
  }
  const struct itimerval real = {.it_value = {.tv_sec = 6000}, .it_interval = {.tv_sec = 60}};
  const struct itimerval cpu = {.it_value = {.tv_sec = 7000}, .it_interval = {.tv_sec = 70}};
  setitimer(ITIMER_REAL, &real, NULL);
  setitimer(ITIMER_PROF, &cpu, NULL);
}
static void tell_timers(void) {
  for (int i = 0; i < 4; ++i) {
    struct itimerspec left;
    if (timer_gettime(timers[i], &left) != 0) SAY("timer %d: %s", i, strerror(errno));
    else SAY("timer %d %d interval %ld", i, left.it_value.tv_sec > 4000 && left.it_value.tv_sec <= 5000 + i, (long)left.it_interval.tv_sec);
  }
  struct itimerval left;
  getitimer(ITIMER_REAL, &left);
  SAY("real %d %ld", left.it_value.tv_sec > 5000, (long)left.it_interval.tv_sec);
  getitimer(ITIMER_PROF, &left);
  SAY("prof %d %ld", left.it_value.tv_sec > 6000, (long)left.it_interval.tv_sec);
}

// --- clocks never go back, and jump by no more than the time that passed
static struct timespec before[4];
static const int watched[] = {CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME};
static void set_clocks(void) {
  for (int i = 0; i < 4; ++i) clock_gettime(watched[i], &before[i]);
}
static void tell_clocks(void) {
  for (int i = 0; i < 4; ++i) {
    struct timespec now;
    clock_gettime(watched[i], &now);
    const double passed = (double)(now.tv_sec - before[i].tv_sec) + (double)(now.tv_nsec - before[i].tv_nsec) / 1e9;
    SAY("clock %d %s", watched[i], passed < 0 ? "went back" : passed > 600 ? "jumped" : "went on");
  }
}

// --- an alarm that is to ring at its time
static volatile sig_atomic_t rang;
static void on_alarm(int signal) { rang = signal; }
static void set_alarm(void) {
  signal(SIGALRM, on_alarm);
  alarm(2);
}
static void tell_alarm(void) {
  for (int i = 0; i < 300 && !rang; ++i) usleep(10000);
  SAY("rang %d", rang == SIGALRM);
}

const struct kind time_kinds[] = {
    {"timers", "timers of every clock", set_timers, tell_timers}, {"clocks", "clocks", set_clocks, tell_clocks}, {"alarm", "an alarm that is due meanwhile", set_alarm, tell_alarm}, {0}};
