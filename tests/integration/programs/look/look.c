// look KIND GO-FILE: sets the kind up, prints "ready", waits until GO-FILE exists, tells. `look
// list` prints the kinds and what they are.
#include "look.h"

static const struct kind* const all[] = {files_kinds,  sockets_kinds, process_kinds, memory_kinds,
                                         signal_kinds, ipc_kinds,     time_kinds,  thread_kinds};

long check(long value, const char* what) {
  if (value == -1) {
    printf("%s: %s\n", what, strerror(errno));
    exit(2);
  }
  return value;
}

int main(int argc, char** argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i)
    for (const struct kind* kind = all[i]; kind->name != NULL; ++kind) {
      if (argc == 2) {
        printf("%s\t%s\n", kind->name, kind->what);
        continue;
      }
      if (argc != 3 || strcmp(argv[1], kind->name) != 0) continue;
      kind->set();
      puts("ready");
      while (access(argv[2], F_OK) != 0) usleep(50000);
      kind->tell();
      return 0;
    }
  return argc == 2 ? 0 : 2;
}
