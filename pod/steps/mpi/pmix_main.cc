// holdfast-pmix FD: see pmix_server.h.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "pod/steps/mpi/pmix_server.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: holdfast-pmix FD (started by a step's daemon)\n");
    return EXIT_FAILURE;
  }
  const auto served = holdfast::pod::ServePmix(holdfast::UniqueFd(std::atoi(argv[1])));
  if (!served) std::fprintf(stderr, "%s\n", served.error().message().c_str());
  // Not by exit: the library's thread is still there.
  ::_exit(served ? EXIT_SUCCESS : EXIT_FAILURE);
}
