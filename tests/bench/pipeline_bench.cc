// How fast memory becomes packs, against what the machine can do at best: copying the same memory
// into new memory and hashing it with BLAKE3, by as many threads. Run it on a tmpfs:
//
//   pipeline_bench [--json] [--size MIB] [--threads N] [--level N] [--rounds N] [DIRECTORY]
//
// Every figure is a median, of rounds that take turns; memory is touched before anything is
// measured, because a virtual machine gets its memory from the host only then.

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/identity.h"
#include "base/parallel.h"
#include "storage/checkpoint.h"
#include "storage/digest.h"
#include "tests/bench/figures.h"
#include "tests/bench/options.h"

namespace holdfast::storage {
namespace {

using bench::Die;
using bench::Figure;
using bench::Median;
using bench::Must;
using Clock = std::chrono::steady_clock;

struct Options {
  bool json = false;
  size_t size_bytes = 1ULL << 30;
  unsigned threads = std::thread::hardware_concurrency();
  int level = 1;
  int rounds = 5;
  std::string directory = "/dev/shm/holdfast-bench";
};

// Anonymous memory, as a process of a job has it.
class Memory {
 public:
  explicit Memory(size_t size_bytes) : size_(size_bytes) {
    void* data = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) Die(Error::Errno("mmap"));
    data_ = static_cast<std::byte*>(data);
  }
  ~Memory() { ::munmap(data_, size_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  std::span<std::byte> bytes() const { return {data_, size_}; }
  std::span<std::byte> extent(size_t i) const {
    return bytes().subspan(i * kExtentBytes, kExtentBytes);
  }
  size_t extents() const { return size_ / kExtentBytes; }

 private:
  size_t size_;
  std::byte* data_;
};

void FillIncompressible(std::span<std::byte> bytes, uint64_t seed) {
  std::mt19937_64 random(seed);
  for (size_t i = 0; i < bytes.size(); i += sizeof(uint64_t)) {
    const uint64_t value = random();
    std::memcpy(bytes.data() + i, &value, sizeof value);
  }
}

// A field of doubles that varies slowly with noise in the lower digits, as in a simulation.
void FillNumbers(std::span<std::byte> bytes) {
  std::mt19937_64 random(5);
  double value = 1;
  for (size_t i = 0; i < bytes.size(); i += sizeof value) {
    value += static_cast<double>(random() % 1000) * 1e-3;
    std::memcpy(bytes.data() + i, &value, sizeof value);
  }
}

double Seconds(const std::function<void()>& work) {
  const auto start = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Seconds that the machine's limit takes. `reuse`: into memory that is there already.
double CopyAndHash(const Options& options, const Memory& memory, const Memory* reuse) {
  return Seconds([&] {
    const Memory fresh(reuse ? kExtentBytes : memory.bytes().size());
    const Memory& target = reuse ? *reuse : fresh;
    Must(ForEachParallel(options.threads, memory.extents(), [&](size_t i) -> Status {
      std::memcpy(target.extent(i).data(), memory.extent(i).data(), kExtentBytes);
      HashOf(target.extent(i));
      return {};
    }));
  });
}

// Both in turns, so that whatever else the machine does meets both; the medians, as rates.
Figure Compare(const Options& options, std::string name, const Memory& memory,
               const std::function<double()>& ours, const std::function<double()>& theirs) {
  std::vector<double> our_rates, their_rates;
  const double gigabytes = static_cast<double>(memory.bytes().size()) / 1e9;
  for (int i = 0; i < options.rounds; ++i) {
    their_rates.push_back(gigabytes / theirs());
    our_rates.push_back(gigabytes / ours());
  }
  return {.name = std::move(name),
          .ours = Median(our_rates),
          .theirs = Median(their_rates),
          .unit = "GB/s",
          .higher_is_better = true,
          .ours_command = fmt::format("PodWriter, {} threads, zstd level {}, to a tmpfs",
                                      options.threads, options.level),
          .theirs_command = fmt::format("memcpy and blake3_hasher, {} threads", options.threads)};
}

class Bench {
 public:
  explicit Bench(const Options& options) : options_(options) {
    store_ = Must(JobStore::Open(options.directory, {.id = 1}, CurrentIdentity(), SiteKey{}));
    Reset();
  }
  ~Bench() { Must(store_->Prune(0)); }

  void Reset() {
    Must(store_->Prune(0));
    Must(store_->Prepare());
    next_ = 1;
  }

  // Seconds until all of `memory` is durable.
  double Save(uint32_t checkpoint, const Memory& memory) {
    const double seconds = Seconds([&] {
      const auto writer = Must(store_->Write(
          checkpoint, 0, {.threads = options_.threads, .compression_level = options_.level}));
      const uint32_t stream = Must(writer->AddStream("pages-1.img"));
      Must(ForEachParallel(options_.threads, memory.extents(), [&](size_t i) {
        return writer->Put(stream, i * kExtentBytes, memory.extent(i),
                           0x7f0000000000 + i * kExtentBytes, 1000);
      }));
      part_ = Must(writer->Finish());
    });
    Manifest manifest;
    manifest.job = {.id = 1};
    manifest.checkpoint = checkpoint;
    manifest.uid = CurrentIdentity().uid;
    manifest.hostnames = {"bench"};
    manifest.parts = {part_};
    Must(store_->Commit(manifest));
    return seconds;
  }
  uint64_t stored_bytes() const { return part_.stored_bytes; }

  double SaveFirst(const Memory& memory) {
    Reset();
    return Save(1, memory);
  }
  double SaveNext(const Memory& memory) { return Save(++next_, memory); }

  // Seconds until all of checkpoint 1 is in `target`.
  double Load(const Memory& target) {
    const auto reader = Must(store_->Read(Must(store_->ReadManifest(1)), 0));
    return Seconds([&] {
      Must(ForEachParallel(options_.threads, target.extents(), [&](size_t i) {
        return reader->Read(0, i * kExtentBytes, target.extent(i));
      }));
    });
  }

 private:
  const Options& options_;
  std::unique_ptr<JobStore> store_;
  PartSummary part_;
  uint32_t next_ = 1;
};

Figure StoredBytes(std::string name, uint64_t ours, uint64_t theirs, std::optional<double> target) {
  return {.name = std::move(name),
          .ours = static_cast<double>(ours) / 1e6,
          .theirs = static_cast<double>(theirs) / 1e6,
          .unit = "MB",
          .target = target};
}

std::vector<Figure> Measure(const Options& options) {
  std::vector<Figure> figures;
  const Memory memory(options.size_bytes), copy(options.size_bytes);
  FillIncompressible(memory.bytes(), 1);
  std::memset(copy.bytes().data(), 1, copy.bytes().size());
  Bench bench(options);
  const auto to_new = [&] { return CopyAndHash(options, memory, nullptr); };
  const auto to_used = [&] { return CopyAndHash(options, memory, &copy); };
  const auto save_first = [&] { return bench.SaveFirst(memory); };
  bench.SaveFirst(memory);

  figures.push_back(Compare(options, "pipeline: memory to packs / memcpy to new memory + BLAKE3",
                            memory, save_first, to_new));
  figures.back().target = 0.7;
  figures.push_back(Compare(options, "pipeline: memory to packs / memcpy to used memory + BLAKE3",
                            memory, save_first, to_used));
  const uint64_t first_bytes = bench.stored_bytes();
  figures.push_back(Compare(
      options, "pipeline: packs to memory / memcpy to used memory + BLAKE3", memory,
      [&] { return bench.Load(copy); }, to_used));

  uint64_t seed = 100;
  const auto change_runs = [&] {
    for (size_t i = seed % 20; i < memory.extents(); i += 20)
      FillIncompressible(memory.extent(i), seed++);
    return bench.SaveNext(memory);
  };
  figures.push_back(
      Compare(options, "pipeline: 5% changed in runs of 256 KiB / memcpy to used memory + BLAKE3",
              memory, change_runs, to_used));
  figures.push_back(StoredBytes("bytes stored, 5% changed in runs of 256 KiB / of the first",
                                bench.stored_bytes(), first_bytes, 0.08));

  // From a checkpoint that is in one piece, as a second one is.
  bench.SaveFirst(memory);
  std::mt19937_64 random(9);
  const size_t pages = memory.bytes().size() / 4096;
  for (size_t i = 0; i < pages / 20; ++i) memory.bytes()[random() % pages * 4096] ^= std::byte{1};
  bench.SaveNext(memory);
  figures.push_back(StoredBytes("bytes stored, 5% changed in scattered pages / of the first",
                                bench.stored_bytes(), first_bytes, 0.25));

  FillNumbers(memory.bytes());
  figures.push_back(Compare(options, "pipeline: doubles to packs / memcpy to new memory + BLAKE3",
                            memory, save_first, to_new));
  figures.push_back(StoredBytes("bytes stored of doubles / in memory", bench.stored_bytes(),
                                memory.bytes().size(), std::nullopt));
  return figures;
}

Options Parse(int argc, char** argv) {
  Options options;
  bench::OptionParser parser("From memory to packs, without a pod.", options.json,
                             options.size_bytes);
  parser.add_option("--threads", options.threads);
  parser.add_option("--level", options.level, "of compression");
  parser.add_option("--rounds", options.rounds);
  parser.add_option("DIRECTORY", options.directory, "in a tmpfs");
  parser.ParseOrExit(argc, argv);
  return options;
}

}  // namespace
}  // namespace holdfast::storage

int main(int argc, char** argv) {
  using namespace holdfast::storage;
  const Options options = Parse(argc, argv);
  holdfast::bench::Print(Measure(options), options.json);
}
