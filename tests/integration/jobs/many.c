// A rank that speaks PMI-1 itself, so that a thousand of them fit on a small machine: it puts a
// value, waits for all, and reads its neighbour's.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fd;

static const char* Ask(const char* request) {
  static char answer[4096];
  if (write(fd, request, strlen(request)) < 0) exit(2);
  size_t size = 0;
  while (size == 0 || answer[size - 1] != '\n') {
    const ssize_t n = read(fd, answer + size, sizeof answer - 1 - size);
    if (n <= 0) exit(3);
    size += (size_t)n;
  }
  answer[size] = 0;
  return answer;
}

int main(void) {
  const int rank = atoi(getenv("PMI_RANK")), ranks = atoi(getenv("PMI_SIZE"));
  char request[256], expected[256];
  fd = atoi(getenv("PMI_FD"));
  Ask("cmd=init pmi_version=1 pmi_subversion=1\n");
  snprintf(request, sizeof request, "cmd=put kvsname=k key=address-%d value=value-%d\n", rank, rank);
  Ask(request);
  if (strncmp(Ask("cmd=barrier_in\n"), "cmd=barrier_out", 15) != 0) return 4;
  const int next = (rank + 1) % ranks;
  snprintf(request, sizeof request, "cmd=get kvsname=k key=address-%d\n", next);
  snprintf(expected, sizeof expected, "value=value-%d\n", next);
  if (!strstr(Ask(request), expected)) return 5;
  Ask("cmd=finalize\n");
  return 0;
}
