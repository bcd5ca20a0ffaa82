// A program that brings one kind of kernel state about, waits, and prints all that it can see of
// it. Saved and moved while it waits, it must print what it prints when it is left alone.
#pragma once

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct kind {
  const char* name;
  const char* what;  // for docs/what-moves.md
  void (*set)(void);
  void (*tell)(void);
};
extern const struct kind files_kinds[], sockets_kinds[], process_kinds[], memory_kinds[],
    signal_kinds[], ipc_kinds[], time_kinds[], thread_kinds[];

// Ends the program with a message if `value` is -1; returns it.
long check(long value, const char* what);
// Said by a kind that this machine's processor or kernel does not have.
#define ABSENT "not on this machine"
// A message that is the same in every run: no addresses, no process ids.
#define SAY(...) (printf(__VA_ARGS__), putchar('\n'))
