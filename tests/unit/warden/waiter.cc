// `waiter SECONDS NAME...`: waits in those ways, each in the main thread of a process of its own
// and in a thread beside others, for that long. There is no signal handler, so none may return
// EINTR. Those that begin with "alarm-" are for ever, have one, and only a process. Prints
// "waiting" when all are, a line for each that ends, and "end".
//
// Asks the kernel itself: what a C library makes of EINTR is not what is tested.
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace {

timespec g_time;

double Now() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

long Milliseconds() { return g_time.tv_sec * 1000 + g_time.tv_nsec / 1000000; }

// The errno with which the call failed, or what it returned.
long Answer(long returned) { return returned < 0 ? errno : returned; }

// In that time a handler will run.
void SetAlarm() {
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  action.sa_flags = SA_RESTART;  // none of the calls heeds it
  ::sigaction(SIGALRM, &action, nullptr);
  const itimerval timer{.it_interval = {},
                        .it_value = {.tv_sec = g_time.tv_sec, .tv_usec = g_time.tv_nsec / 1000}};
  ::setitimer(ITIMER_REAL, &timer, nullptr);
}

struct Way {
  const char* name;
  long expected;
  long (*wait)();
  bool process_only = false;
};

const Way kWays[] = {
    {"nanosleep", 0, [] { return Answer(::syscall(SYS_nanosleep, &g_time, nullptr)); }},
    {"nanosleep-rest", 0,
     [] {
       timespec rest = g_time;
       return Answer(::syscall(SYS_nanosleep, &rest, &rest));
     }},
    {"clock_nanosleep", 0,
     [] { return Answer(::syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &g_time, nullptr)); }},
    {"clock_nanosleep-absolute", 0,
     [] {
       timespec until;
       ::clock_gettime(CLOCK_MONOTONIC, &until);
       until.tv_sec += g_time.tv_sec + 1;
       return Answer(
           ::syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr));
     }},
    {"poll", 0,
     [] {
       // Vector registers must be what they were, too.
       long number = SYS_poll;
       double kept = 0.0, before = 1234.5;
       asm volatile("movsd %2, %%xmm9\n\tsyscall\n\tmovsd %%xmm9, %1"
                    : "+a"(number), "=m"(kept)
                    : "m"(before), "D"(nullptr), "S"(0), "d"(Milliseconds())
                    : "rcx", "r11", "xmm9", "memory");
       return kept == before ? -number : 1000;
     }},
    {"futex", ETIMEDOUT,
     [] {
       uint32_t word = 0;
       return Answer(::syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &g_time, nullptr, 0));
     }},
    {"select", 0,
     [] {
       timeval time{.tv_sec = g_time.tv_sec, .tv_usec = g_time.tv_nsec / 1000};
       return Answer(::syscall(SYS_select, 0, nullptr, nullptr, nullptr, &time));
     }},
    {"epoll_wait", 0,
     [] {
       epoll_event event;
       return Answer(::syscall(SYS_epoll_wait, ::epoll_create1(0), &event, 1, Milliseconds()));
     }},
    {"sigtimedwait", EAGAIN,
     [] {
       const uint64_t signals = 1ULL << (SIGUSR1 - 1);
       return Answer(::syscall(SYS_rt_sigtimedwait, &signals, nullptr, &g_time, sizeof signals));
     }},
    {"semtimedop", EAGAIN,
     [] {
       const int set = ::semget(IPC_PRIVATE, 1, 0600);
       sembuf take{.sem_num = 0, .sem_op = -1, .sem_flg = 0};
       const long answer = Answer(::syscall(SYS_semtimedop, set, &take, 1, &g_time));
       ::semctl(set, 0, IPC_RMID);
       return answer;
     }},
    {"recv", EAGAIN,
     [] {
       int ends[2];
       if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return Answer(-1);
       const timeval time{.tv_sec = g_time.tv_sec, .tv_usec = g_time.tv_nsec / 1000};
       ::setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
       char byte;
       return Answer(::syscall(SYS_recvfrom, ends[0], &byte, 1, 0, nullptr, nullptr));
     }},
    {"alarm-pause", EINTR,
     [] {
       SetAlarm();
       return Answer(::syscall(SYS_pause));
     },
     true},
    {"alarm-poll", EINTR,
     [] {
       SetAlarm();
       return Answer(::syscall(SYS_poll, nullptr, 0, 1000000));
     },
     true},
    {"alarm-epoll_wait", EINTR,
     [] {
       SetAlarm();
       epoll_event event;
       return Answer(::syscall(SYS_epoll_wait, ::epoll_create1(0), &event, 1, -1));
     },
     true},
};

std::atomic<int>* g_waiting;  // shared with the children

// Whether all was as it should be.
bool Try(const Way& way, const char* where) {
  const double begin = Now();
  ++*g_waiting;
  const long answer = way.wait();
  const double took = Now() - begin;
  const bool right =
      answer == way.expected && took * 1000 >= static_cast<double>(Milliseconds()) - 5;
  char line[200];
  const int size = std::snprintf(line, sizeof line, "%s %s in a %s: %ld (%s) after %.3f s\n",
                                 right ? "right" : "WRONG", way.name, where, answer,
                                 answer > 0 ? std::strerror(static_cast<int>(answer)) : "-", took);
  return ::write(1, line, static_cast<size_t>(size)) == size && right;
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = std::atof(argv[1]);
  g_time.tv_sec = static_cast<time_t>(seconds);
  g_time.tv_nsec = static_cast<long>((seconds - static_cast<double>(g_time.tv_sec)) * 1e9);
  g_waiting = new (::mmap(nullptr, sizeof *g_waiting, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0)) std::atomic<int>(0);
  std::vector<const Way*> ways;
  for (int i = 2; i < argc; ++i)
    for (const Way& way : kWays)
      if (way.name == std::string(argv[i])) ways.push_back(&way);
  std::vector<pid_t> children;
  for (const Way* way : ways) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(Try(*way, "process") ? 0 : 1);
    children.push_back(child);
  }
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (const Way* way : ways)
    if (!way->process_only)
      threads.emplace_back([&wrong, way] {
        if (!Try(*way, "thread")) ++wrong;
      });
  const size_t all = children.size() + threads.size();
  while (*g_waiting < static_cast<int>(all)) ::usleep(1000);
  ::usleep(100000);  // from having said so to being in the kernel
  std::puts("waiting");
  std::fflush(stdout);
  for (std::thread& thread : threads) thread.join();
  for (const pid_t child : children) {
    int status = 0;
    if (::waitpid(child, &status, 0) != child || status != 0) ++wrong;
  }
  std::printf("end, %d wrong of %zu\n", wrong.load(), all);
  return wrong == 0 ? 0 : 1;
}
