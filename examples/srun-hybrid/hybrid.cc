// MPI between the tasks, OpenMP in each: a ring of cells, of which every task has a part and every
// thread a part of that. Each round a cell becomes a mixture of itself and its neighbours.
//
//   srun hybrid [CELLS [ROUNDS [PAUSE_MS]]]
//
// The digest at the end depends on every cell of every round, and on nothing else: the same for any
// number of tasks that divides CELLS, of threads, and on any nodes.
#include <mpi.h>
#include <omp.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

uint64_t Mix(uint64_t left, uint64_t self, uint64_t right) {
  uint64_t z = self + 0x9e3779b97f4a7c15ULL + (left << 7) + (right >> 3);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  return z ^ (z >> 27);
}

}  // namespace

int main(int argc, char** argv) {
  int threads = 0, rank = 0, ranks = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &threads);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  const long all = argc > 1 ? std::atol(argv[1]) : 1 << 20;
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 1000;
  const auto pause_ms = static_cast<useconds_t>(argc > 3 ? std::atoi(argv[3]) : 10);
  const long mine = all / ranks;

  // With a neighbour's cell at either end.
  std::vector<uint64_t> cells(static_cast<size_t>(mine) + 2), next(cells.size());
  for (long i = 1; i <= mine; ++i)
    cells[static_cast<size_t>(i)] = static_cast<uint64_t>(rank * mine + i);
  const int left = (rank + ranks - 1) % ranks, right = (rank + 1) % ranks;
  for (int round = 1; round <= rounds; ++round) {
    MPI_Sendrecv(&cells[static_cast<size_t>(mine)], 1, MPI_UINT64_T, right, 0, &cells[0], 1,
                 MPI_UINT64_T, left, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    MPI_Sendrecv(&cells[1], 1, MPI_UINT64_T, left, 1, &cells[static_cast<size_t>(mine) + 1], 1,
                 MPI_UINT64_T, right, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
#pragma omp parallel for
    for (long i = 1; i <= mine; ++i) {
      const auto at = static_cast<size_t>(i);
      next[at] = Mix(cells[at - 1], cells[at], cells[at + 1]);
    }
    cells.swap(next);
    if (rank == 0 && round % (rounds / 20 > 0 ? rounds / 20 : 1) == 0) {
      std::printf("round %d of %d\n", round, rounds);
      std::fflush(stdout);
    }
    if (pause_ms > 0) usleep(pause_ms * 1000);
  }

  uint64_t sum = 0, digest = 0;
#pragma omp parallel for reduction(+ : sum)
  for (long i = 1; i <= mine; ++i)
    sum += cells[static_cast<size_t>(i)] * static_cast<uint64_t>(rank * mine + i);
  MPI_Reduce(&sum, &digest, 1, MPI_UINT64_T, MPI_SUM, 0, MPI_COMM_WORLD);
  if (rank == 0)
    std::printf("%d tasks with %d threads each, digest %016llx\n", ranks, omp_get_max_threads(),
                static_cast<unsigned long long>(digest));
  MPI_Finalize();
  return 0;
}
