// Four kinds of MPI traffic, every message checked: a job whose result would show the slightest
// slip.
//
//   srun ring [ROUNDS [PAUSE_MS]]
//
// Each round every rank sends a numbered message around the ring and checks the one it gets,
// exchanges a large non-blocking message with its opposite, and takes part in a broadcast, an
// all-reduce and an all-to-all. The state of each rank depends on every byte received so far; rank
// 0 prints a digest of all states at the end. The same arguments give the same digest on any nodes.
// Nothing in it knows of checkpoints.
#include <mpi.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

int rank, ranks;

uint64_t Mix(uint64_t state, uint64_t value) {
  // splitmix64: every bit of the input reaches every bit of the output.
  uint64_t z = state + 0x9e3779b97f4a7c15ULL + value;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

[[noreturn]] void Mismatch(const char* what, uint64_t round, uint64_t got, uint64_t expected) {
  std::fprintf(stderr, "ring: rank %d, round %llu: %s: got %llx, expected %llx\n", rank,
               static_cast<unsigned long long>(round), what, static_cast<unsigned long long>(got),
               static_cast<unsigned long long>(expected));
  MPI_Abort(MPI_COMM_WORLD, 1);
  std::abort();
}

// What `sender` puts at `index` of its message of that round.
uint64_t Word(uint64_t round, int sender, uint64_t index) {
  return Mix(Mix(round, static_cast<uint64_t>(sender)), index);
}

void CheckMessage(const std::vector<uint64_t>& message, uint64_t round, int sender,
                  const char* what) {
  for (size_t i = 0; i < message.size(); ++i)
    if (message[i] != Word(round, sender, i))
      Mismatch(what, round, message[i], Word(round, sender, i));
}

std::vector<uint64_t> MakeMessage(uint64_t round, size_t words) {
  std::vector<uint64_t> message(words);
  for (size_t i = 0; i < words; ++i) message[i] = Word(round, rank, i);
  return message;
}

// Eager, blocking, to the neighbour.
uint64_t AroundTheRing(uint64_t round) {
  const int next = (rank + 1) % ranks, previous = (rank + ranks - 1) % ranks;
  const auto out = MakeMessage(round, 64);
  std::vector<uint64_t> in(out.size());
  MPI_Sendrecv(out.data(), 64, MPI_UINT64_T, next, 1, in.data(), 64, MPI_UINT64_T, previous, 1,
               MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  CheckMessage(in, round, previous, "message around the ring");
  return in.back();
}

// Rendezvous, non-blocking, to the rank half way round.
uint64_t AcrossTheRing(uint64_t round) {
  const int opposite = (rank + ranks / 2) % ranks;
  if (opposite == rank || ranks % 2 != 0) return 0;
  constexpr int kWords = 32 * 1024;
  const auto out = MakeMessage(round, kWords);
  std::vector<uint64_t> in(kWords);
  MPI_Request requests[2];
  MPI_Irecv(in.data(), kWords, MPI_UINT64_T, opposite, 2, MPI_COMM_WORLD, &requests[0]);
  MPI_Isend(out.data(), kWords, MPI_UINT64_T, opposite, 2, MPI_COMM_WORLD, &requests[1]);
  MPI_Waitall(2, requests, MPI_STATUSES_IGNORE);
  CheckMessage(in, round, opposite, "message across the ring");
  return in.back();
}

uint64_t Collectives(uint64_t round, uint64_t state) {
  const int root = static_cast<int>(round % static_cast<uint64_t>(ranks));
  uint64_t token = rank == root ? Word(round, root, 0) : 0;
  MPI_Bcast(&token, 1, MPI_UINT64_T, root, MPI_COMM_WORLD);
  if (token != Word(round, root, 0)) Mismatch("broadcast", round, token, Word(round, root, 0));

  const uint64_t mine = static_cast<uint64_t>(rank) + round;
  uint64_t sum = 0;
  MPI_Allreduce(&mine, &sum, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
  const uint64_t n = static_cast<uint64_t>(ranks);
  if (sum != n * (n - 1) / 2 + n * round) Mismatch("sum", round, sum, n * (n - 1) / 2 + n * round);

  std::vector<uint64_t> out(n), in(n);
  for (uint64_t to = 0; to < n; ++to) out[to] = Word(round, rank, 1000 + to);
  MPI_Alltoall(out.data(), 1, MPI_UINT64_T, in.data(), 1, MPI_UINT64_T, MPI_COMM_WORLD);
  for (int from = 0; from < ranks; ++from) {
    const uint64_t expected = Word(round, from, 1000 + static_cast<uint64_t>(rank));
    const uint64_t got = in[static_cast<size_t>(from)];
    if (got != expected) Mismatch("all-to-all", round, got, expected);
    state = Mix(state, got);
  }
  return Mix(state, token ^ sum);
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  const uint64_t rounds = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1000;
  const auto pause_ms = static_cast<useconds_t>(argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 10);

  uint64_t state = static_cast<uint64_t>(rank);
  for (uint64_t round = 1; round <= rounds; ++round) {
    state = Mix(state, AroundTheRing(round));
    state = Mix(state, AcrossTheRing(round));
    state = Collectives(round, state);
    if (rank == 0 && round % (rounds / 20 > 0 ? rounds / 20 : 1) == 0) {
      std::printf("round %llu of %llu\n", static_cast<unsigned long long>(round),
                  static_cast<unsigned long long>(rounds));
      std::fflush(stdout);
    }
    if (pause_ms > 0) usleep(pause_ms * 1000);
  }

  std::vector<uint64_t> states(static_cast<size_t>(ranks));
  MPI_Gather(&state, 1, MPI_UINT64_T, states.data(), 1, MPI_UINT64_T, 0, MPI_COMM_WORLD);
  if (rank == 0) {
    uint64_t digest = 0;
    for (const uint64_t each : states) digest = Mix(digest, each);
    std::printf("digest %016llx\n", static_cast<unsigned long long>(digest));
  }
  MPI_Finalize();
  return 0;
}
