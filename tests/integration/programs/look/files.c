#include "look.h"

#include <dirent.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

static int a, b, c, d, pair[2];

// --- flags and positions of descriptors
static void set_flags(void) {
  a = check(open("look.flags", O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0640), "open");
  check(write(a, "0123456789", 10), "write");
  lseek(a, 3, SEEK_SET);
  b = dup(a);
  fcntl(b, F_SETFD, FD_CLOEXEC);
  c = check(open("look.flags", O_RDONLY | O_NONBLOCK | O_NOATIME), "open");
  fcntl(c, F_SETOWN, getpid());
  fcntl(c, F_SETSIG, SIGUSR2);
}
static void tell_flags(void) {
  char text[4] = {0};
  const int flags = O_APPEND | O_NONBLOCK | O_NOATIME | O_ACCMODE;
  SAY("flags %o %o %o", fcntl(a, F_GETFL) & flags, fcntl(b, F_GETFL) & flags, fcntl(c, F_GETFL) & flags);
  SAY("cloexec %d %d", fcntl(a, F_GETFD), fcntl(b, F_GETFD));
  SAY("shared position %ld", (long)lseek(b, 1, SEEK_CUR));
  SAY("read %zd %s", read(a, text, 3), text);
  SAY("owner %d signal %d", fcntl(c, F_GETOWN) == getpid(), fcntl(c, F_GETSIG));
}

// --- locks
static pid_t lock_child;
static void set_locks(void) {
  a = check(open("look.locks", O_RDWR | O_CREAT | O_TRUNC, 0600), "open");
  b = check(open("look.locks", O_RDWR), "open");
  check(flock(a, LOCK_EX), "flock");
  struct flock posix = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 5};
  check(fcntl(a, F_SETLK, &posix), "fcntl");
  struct flock ofd = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 20, .l_len = 5};
  check(fcntl(b, F_OFD_SETLK, &ofd), "ofd");
}
static void tell_locks(void) {
  SAY("flock by another descriptor: %s", flock(b, LOCK_EX | LOCK_NB) == 0 ? "got it" : strerror(errno));
  fflush(stdout);
  lock_child = fork();
  if (lock_child == 0) {
    const int other = open("look.locks", O_RDWR);
    for (int start = 10; start <= 20; start += 10) {
      struct flock probe = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = 5};
      fcntl(other, F_GETLK, &probe);
      SAY("at %d: %s", start, probe.l_type == F_UNLCK ? "free" : probe.l_type == F_WRLCK ? "write" : "read");
    }
    _exit(0);
  }
  waitpid(lock_child, NULL, 0);
}

// --- a lease
static void set_lease(void) {
  a = check(open("look.lease", O_RDONLY | O_CREAT, 0600), "open");
  check(fcntl(a, F_SETLEASE, F_RDLCK), "lease");
}
static void tell_lease(void) { SAY("lease %d", fcntl(a, F_GETLEASE) == F_RDLCK); }

// --- pipes: contents, size, packets
static int packets[2], fifo;
static void set_pipes(void) {
  check(pipe(pair), "pipe");
  check(fcntl(pair[1], F_SETPIPE_SZ, 1 << 18), "size");
  for (int i = 0; i < 40000; ++i) check(write(pair[1], "abcd", 4), "write");
  check(pipe2(packets, O_DIRECT), "pipe2");
  check(write(packets[1], "one", 3), "write");
  check(write(packets[1], "three", 5), "write");
  unlink("/tmp/look.fifo");
  check(mkfifo("/tmp/look.fifo", 0600), "mkfifo");
  fifo = check(open("/tmp/look.fifo", O_RDWR), "fifo");
  check(write(fifo, "queued", 6), "write");
}
static void tell_pipes(void) {
  char text[64];
  long sum = 0, n;
  static char data[1 << 18];
  SAY("size %d", fcntl(pair[1], F_GETPIPE_SZ));
  fcntl(pair[0], F_SETFL, O_NONBLOCK);
  while ((n = read(pair[0], data, sizeof data)) > 0) sum += n;
  SAY("contents %ld", sum);
  SAY("packets %zd %zd", read(packets[0], text, sizeof text), read(packets[0], text, sizeof text));
  SAY("fifo %zd", read(fifo, text, sizeof text));
}

// --- memfd and its seals
static void set_memfd(void) {
  a = check(memfd_create("look", MFD_ALLOW_SEALING), "memfd");
  check(write(a, "sealed", 6), "write");
  check(fcntl(a, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), "seals");
}
static void tell_memfd(void) {
  char text[16] = {0};
  SAY("seals %x, grows: %d", fcntl(a, F_GET_SEALS), ftruncate(a, 100) == 0);
  SAY("read %zd %s", pread(a, text, sizeof text, 0), text);
}

// --- a directory half read
static DIR* directory;
static void set_directory(void) {
  char name[64];
  mkdir("look.d", 0700);
  for (int i = 0; i < 300; ++i) {
    snprintf(name, sizeof name, "look.d/entry-with-a-long-name-%03d", i);
    close(check(open(name, O_CREAT | O_WRONLY, 0600), "open"));
  }
  directory = opendir("look.d");
  for (int i = 0; i < 10; ++i) readdir(directory);
}
static void tell_directory(void) {
  int count = 0;
  while (readdir(directory) != NULL) ++count;
  SAY("entries %d", count);
}

// --- eventfd, signalfd, timerfd, epoll
static int event, epoll;
static void set_eventfd(void) {
  event = check(eventfd(7, EFD_SEMAPHORE | EFD_NONBLOCK), "eventfd");
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR1);
  sigprocmask(SIG_BLOCK, &mask, NULL);
  a = check(signalfd(-1, &mask, SFD_NONBLOCK), "signalfd");
  sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 42});
  b = check(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), "timerfd");
  struct itimerspec never = {.it_value = {.tv_sec = 5000}, .it_interval = {.tv_sec = 3}};
  timerfd_settime(b, 0, &never, NULL);
  epoll = check(epoll_create1(EPOLL_CLOEXEC), "epoll");
  struct epoll_event interest = {.events = EPOLLIN | EPOLLET, .data.u64 = 11};
  epoll_ctl(epoll, EPOLL_CTL_ADD, event, &interest);
  interest = (struct epoll_event){.events = EPOLLIN | EPOLLONESHOT, .data.u64 = 22};
  epoll_ctl(epoll, EPOLL_CTL_ADD, a, &interest);
}
static void tell_eventfd(void) {
  struct epoll_event events[4];
  struct signalfd_siginfo info = {0};
  struct itimerspec left;
  unsigned long value = 0;
  const int n = epoll_wait(epoll, events, 4, 0);
  unsigned long sum = 0;
  for (int i = 0; i < n; ++i) sum += events[i].data.u64;
  SAY("epoll %d %lu", n, sum);
  int reads = 0;
  while (read(event, &value, sizeof value) > 0) reads += (int)value;
  SAY("eventfd %d", reads);
  const int got = read(a, &info, sizeof info) > 0;
  SAY("signalfd %d value %d", got, info.ssi_int);
  timerfd_gettime(b, &left);
  SAY("timerfd %d interval %ld", left.it_value.tv_sec > 4000, (long)left.it_interval.tv_sec);
}

// --- inotify, with what is queued
static void set_inotify(void) {
  mkdir("look.watched", 0700);
  a = check(inotify_init1(IN_NONBLOCK), "inotify");
  check(inotify_add_watch(a, "look.watched", IN_CREATE | IN_DELETE), "watch");
  close(check(open("look.watched/before", O_CREAT | O_WRONLY, 0600), "open"));
}
static void tell_inotify(void) {
  char events[4096];
  unlink("look.watched/before");
  const ssize_t size = read(a, events, sizeof events);
  for (ssize_t at = 0; at < size;) {
    const struct inotify_event* event = (const void*)(events + at);
    SAY("event %x %s", event->mask, event->name);
    at += (ssize_t)sizeof *event + event->len;
  }
}

// --- asynchronous I/O by signals on a pipe
static volatile sig_atomic_t told;
static void on_io(int signal) { told += signal == SIGIO; }
static void set_sigio(void) {
  signal(SIGIO, on_io);
  check(pipe(pair), "pipe");
  fcntl(pair[0], F_SETOWN, getpid());
  fcntl(pair[0], F_SETFL, fcntl(pair[0], F_GETFL) | O_ASYNC);
}
static void tell_sigio(void) {
  check(write(pair[1], "x", 1), "write");
  usleep(100000);
  SAY("async %d told %d", (fcntl(pair[0], F_GETFL) & O_ASYNC) != 0, (int)told);
}

// --- special files
static void set_devices(void) {
  a = check(open("/dev/urandom", O_RDONLY), "open");
  b = check(open("/proc/self/status", O_RDONLY), "open");
  c = check(open("/dev/zero", O_RDONLY), "open");
  d = check(open("/proc/self/mem", O_RDWR), "open");
}
static void tell_devices(void) {
  char text[32] = {0};
  SAY("urandom %zd", read(a, text, 8));
  SAY("zero %zd", read(c, text, 8));
  SAY("status %.5s", read(b, text, 5) == 5 ? text : "none");
  char own[8] = "before";
  SAY("mem %zd %s", pwrite(d, "after", 6, (off_t)(uintptr_t)own), own);
}

const struct kind files_kinds[] = {{"flags", "flags, positions and owners of descriptors", set_flags, tell_flags},
                                   {"locks", "file locks: flock, POSIX, open file description", set_locks, tell_locks},
                                   {"lease", "leases of files", set_lease, tell_lease},
                                   {"pipes", "pipes: contents, size, packets; FIFOs", set_pipes, tell_pipes},
                                   {"memfd", "memory files and their seals", set_memfd, tell_memfd},
                                   {"directory", "a directory half read", set_directory, tell_directory},
                                   {"eventfd", "eventfd, signalfd, timerfd, epoll", set_eventfd, tell_eventfd},
                                   {"inotify", "inotify, with events that wait", set_inotify, tell_inotify},
                                   {"sigio", "signals for a descriptor (O_ASYNC)", set_sigio, tell_sigio},
                                   {"devices", "/dev/zero, /dev/urandom, files of /proc", set_devices, tell_devices},
                                   {0}};
