// An MPI program that says in a line who is there.
//
//   ranks             all ranks, and a sum over them
//   ranks staged DIR  the last rank enters MPI_Init and MPI_Finalize when DIR/init and DIR/finalize
//                     are there; until then the others wait in them
//   ranks abort       rank 1 calls MPI_Abort
//   ranks fail        rank 1 exits in the middle
//   ranks spawn       MPI_Comm_spawn
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void Await(const char* directory, const char* name) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", directory, name);
  const char* const rank = getenv("SLURM_PROCID");
  const char* const ranks = getenv("SLURM_NTASKS");
  if (rank && ranks && atoi(rank) == atoi(ranks) - 1) {
    while (access(path, F_OK) != 0) usleep(50000);
  } else if (rank && atoi(rank) == 0) {
    printf("entering %s\n", name);
    fflush(stdout);
  }
}

int main(int argc, char** argv) {
  const char* const mode = argc > 1 ? argv[1] : "";
  const int staged = strcmp(mode, "staged") == 0 && argc > 2;
  int rank = 0, ranks = 0;
  if (staged) Await(argv[2], "init");
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);

  long mine = rank + 1, sum = 0;
  MPI_Reduce(&mine, &sum, 1, MPI_LONG, MPI_SUM, 0, MPI_COMM_WORLD);
  MPI_Comm node;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
  int here = 0;
  MPI_Comm_size(node, &here);
  if (rank == 0) printf("%d ranks, %d on my node, sum %ld\n", ranks, here, sum);
  fflush(stdout);

  if (strcmp(mode, "abort") == 0) {
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 1) MPI_Abort(MPI_COMM_WORLD, 7);
    sleep(1000);
  }
  if (strcmp(mode, "fail") == 0) {
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 1) _exit(3);
    sleep(argc > 2 ? 1 : 1000);
    _exit(0);
  }
  if (strcmp(mode, "spawn") == 0) {
    MPI_Comm children;
    const int failed = MPI_Comm_spawn("true", MPI_ARGV_NULL, 1, MPI_INFO_NULL, 0, MPI_COMM_WORLD,
                                      &children, MPI_ERRCODES_IGNORE);
    if (rank == 0) printf("spawn %s\n", failed ? "refused" : "done");
    _exit(failed ? 1 : 0);
  }
  if (staged) Await(argv[2], "finalize");
  MPI_Finalize();
  if (staged && rank == 0) printf("finalized\n");
  return 0;
}
