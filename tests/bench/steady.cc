// The programs of steady_bench, which Slurm runs with and without Holdfast:
//
//   steady mpi           two ranks: one-way latency of 8 bytes and bandwidth of 1 MiB messages
//   steady compute       one process: seconds that a fixed amount of arithmetic takes
//   steady hold MIB      fills memory, says so, and stays
//
// Results are lines "NAME VALUE" on stdout.
#include <mpi.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Seconds that one message takes one way: the median of `batches`, each of `rounds` there and back.
double OneWay(std::vector<char>& message, int batches, int rounds) {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  const auto size = static_cast<int>(message.size());
  std::vector<double> times;
  for (int batch = 0; batch < batches; ++batch) {
    MPI_Barrier(MPI_COMM_WORLD);
    const auto begin = Clock::now();
    for (int i = 0; i < rounds; ++i) {
      if (rank == 0) MPI_Send(message.data(), size, MPI_BYTE, 1, 0, MPI_COMM_WORLD);
      MPI_Recv(message.data(), size, MPI_BYTE, 1 - rank, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      if (rank == 1) MPI_Send(message.data(), size, MPI_BYTE, 0, 0, MPI_COMM_WORLD);
    }
    times.push_back(SecondsSince(begin) / rounds / 2);
  }
  std::ranges::sort(times);
  return times[times.size() / 2];
}

int Mpi(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank = 0, ranks = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  if (ranks != 2) MPI_Abort(MPI_COMM_WORLD, 2);
  std::vector<char> small(8), large(1 << 20);
  OneWay(small, 5, 500);  // warm up
  const double latency = OneWay(small, 40, 1000);
  OneWay(large, 2, 20);
  const double transfer = OneWay(large, 20, 50);
  if (rank == 0)
    std::printf("latency %.3f\nbandwidth %.1f\n", latency * 1e6,
                static_cast<double>(large.size()) / transfer / 1e6);
  MPI_Finalize();
  return 0;
}

int Compute() {
  const auto begin = Clock::now();
  double sum = 0;
  for (int64_t i = 1; i < 400'000'000; ++i)
    sum += std::sqrt(static_cast<double>(i)) / (1.0 + sum * 1e-12);
  std::printf("compute %.4f\n", SecondsSince(begin));
  return sum > 0 ? 0 : 1;
}

// Half of each byte is random, so that compression has something to do and nothing is found twice.
int Hold(size_t size_bytes) {
  std::vector<uint64_t> memory(size_bytes / sizeof(uint64_t));
  std::mt19937_64 random(1);
  for (uint64_t& word : memory) word = random() & 0x0f0f0f0f0f0f0f0f;
  std::puts("holding");
  std::fflush(stdout);
  for (;;) ::pause();
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (what == "mpi") return Mpi(argc, argv);
  if (what == "compute") return Compute();
  if (what == "hold" && argc > 2) return Hold(std::strtoull(argv[2], nullptr, 10) << 20);
  std::fputs("usage: steady mpi | compute | hold MIB\n", stderr);
  return 2;
}
