// What a warden holds in memory for its tables while it stores and reads a job of 64 GiB: as much
// as for one of 1 GiB. The job's memory is made up as it is put, each extent different from all
// others and easy to compress, so neither this machine's memory nor its disk has to hold it; all
// else is the real thing, from PodWriter to files.
//
//   tables_bench [--json] [--size MIB] [--budget MIB] [--threads N] [DIRECTORY]
//
// Each size is a process of its own, which stores a checkpoint, then one with 5% changed after all
// of it was stored ahead, and reads that.

#include <fmt/format.h>
#include <malloc.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/identity.h"
#include "base/parallel.h"
#include "base/process.h"
#include "storage/checkpoint.h"
#include "tests/bench/figures.h"
#include "tests/bench/options.h"

namespace holdfast::storage {
namespace {

using bench::Die;
using bench::Figure;
using bench::Must;

constexpr size_t kMiB = 1 << 20;

struct Options {
  bool json = false;
  size_t size_bytes = 64ULL << 30;
  size_t budget_mib = 16;  // the least that a site can set
  unsigned threads = 4;    // as a warden has
  std::string directory = "/var/tmp";
};

// One process's memory: 8 bytes of each 16 KiB, over and over.
class Memory {
 public:
  // `changed`: with 5% of it in runs of an extent.
  Memory(size_t size_bytes, bool changed)
      : extents_(size_bytes / kExtentBytes), changed_(changed) {}

  size_t extents() const { return extents_; }
  void Fill(size_t extent, std::span<std::byte> out) const {
    constexpr size_t kRun = 16 * 1024;
    for (size_t at = 0; at < out.size(); at += kRun) {
      const uint64_t value =
          (extent * kExtentBytes + at) | 1 | uint64_t{changed_ && extent % 20 == 0} << 62;
      for (size_t i = 0; i < kRun; i += sizeof value)
        std::memcpy(out.data() + at + i, &value, sizeof value);
    }
  }

 private:
  const size_t extents_;
  const bool changed_;
};

// A line of /proc/self/status, in MiB.
double OwnMemory(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (double kib = 0; word == name + ":" && status >> kib) return kib / 1024;
  Die(Error(Code::kInternal, "/proc/self/status has no " + name));
}

// How much more memory than before this process has had meanwhile, MiB.
double Peak(const std::function<void()>& work) {
  ::malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << "5";  // VmHWM begins anew
  const double before = OwnMemory("VmRSS");
  work();
  return OwnMemory("VmHWM") - before;
}

class Job {
 public:
  Job(const Options& options, size_t size_bytes) : options_(options), size_bytes_(size_bytes) {
    std::string directory = options.directory + "/holdfast-bench-XXXXXX";
    if (::mkdtemp(directory.data()) == nullptr) Die(Error::Errno("making " + directory));
    directory_ = directory;
    store_ = Must(JobStore::Open(directory_, {.id = 1}, CurrentIdentity(), SiteKey{}));
    Must(store_->Prepare());
  }
  ~Job() {
    store_.reset();
    Must(RemoveTree(directory_));
  }

  void Save(uint32_t checkpoint, bool ahead, bool changed) {
    const auto writer = Must(store_->Write(
        checkpoint, 0,
        {.threads = options_.threads, .memory_budget_bytes = options_.budget_mib * kMiB}));
    if (ahead) {
      Put(*writer, "ahead", false);
      Must(writer->Flush());
      Must(writer->BeginAgain());
    }
    Put(*writer, "pages-1.img", changed);
    Manifest manifest{.job = {.id = 1}, .checkpoint = checkpoint, .uid = CurrentIdentity().uid};
    manifest.hostnames = {"bench"};
    manifest.parts = {Must(writer->Finish())};
    Must(store_->Commit(manifest));
    fmt::print(stderr, "  checkpoint {}: {} MB stored\n", checkpoint,
               manifest.parts[0].stored_bytes / 1'000'000);
  }

  void Read(uint32_t checkpoint, bool changed) {
    const auto reader = Must(store_->Read(Must(store_->ReadManifest(checkpoint)), 0));
    const Memory memory(size_bytes_, changed);
    Must(ForEachParallel(options_.threads, memory.extents(), [&](size_t i) -> Status {
      thread_local std::vector<std::byte> expected(kExtentBytes), read(kExtentBytes);
      memory.Fill(i, expected);
      HOLDFAST_CHECK(reader->Read(0, i * kExtentBytes, read));
      if (read == expected) return {};
      return Fail(Code::kInternal, fmt::format("extent {} is not what was stored", i));
    }));
  }

 private:
  void Put(PodWriter& writer, const std::string& name, bool changed) {
    constexpr uint64_t kAddress = 0x7f0000000000;
    const Memory memory(size_bytes_, changed);
    const uint32_t stream = Must(writer.AddStream(name));
    Must(ForEachParallel(options_.threads, memory.extents(), [&](size_t i) {
      thread_local std::vector<std::byte> buffer(kExtentBytes);
      memory.Fill(i, buffer);
      return writer.Put(stream, i * kExtentBytes, buffer, kAddress + i * kExtentBytes, 1000);
    }));
  }

  const Options& options_;
  const size_t size_bytes_;
  std::string directory_;
  std::unique_ptr<JobStore> store_;
};

// What the process of one size says: peaks of saving and of reading, MiB.
int Measure(const Options& options, size_t size_mib) {
  Job job(options, size_mib * kMiB);
  const double save = Peak([&] {
    job.Save(1, false, false);
    job.Save(2, true, true);
  });
  const double read = Peak([&] { job.Read(2, true); });
  fmt::print("{} {}\n", save, read);
  return 0;
}

struct Peaks {
  double save = 0;
  double read = 0;
};

Peaks MeasureApart(const Options& options, size_t size_bytes) {
  const auto output =
      Must(RunCommand({.argv = {"/proc/self/exe", "--budget", std::to_string(options.budget_mib),
                                "--threads", std::to_string(options.threads), options.directory,
                                "--measure", std::to_string(size_bytes / kMiB)}},
                      std::chrono::hours(1)));
  if (!output.status.ok()) Die(Error(Code::kInternal, output.output));
  Peaks peaks;
  const size_t last = output.output.find_last_of('\n', output.output.size() - 2);
  if (std::sscanf(output.output.c_str() + (last == std::string::npos ? 0 : last + 1), "%lf %lf",
                  &peaks.save, &peaks.read) != 2)
    Die(Error(Code::kInternal, "the process of the bench said: " + output.output));
  fmt::print(stderr, "{} MiB: {:.1f} MiB to save, {:.1f} MiB to read\n", size_bytes / kMiB,
             peaks.save, peaks.read);
  return peaks;
}

std::vector<Figure> MeasureAll(const Options& options) {
  const Peaks small = MeasureApart(options, options.size_bytes / 64);
  const Peaks middle = MeasureApart(options, options.size_bytes / 8);
  const Peaks large = MeasureApart(options, options.size_bytes);
  const auto name = [&](const char* what, size_t part) {
    return fmt::format("peak memory: {} {} GiB / {} GiB", what, options.size_bytes >> 30,
                       options.size_bytes / part >> 30);
  };
  const std::string command = fmt::format(
      "PodWriter with checkpoint.memory_budget: {} MiB; VmHWM, beyond what the process "
      "had before",
      options.budget_mib);
  return {{.name = name("saving", 64),
           .ours = large.save,
           .theirs = small.save,
           .unit = "MiB",
           .target = 1.5,
           .ours_command = command,
           .theirs_command = "the same of a smaller job"},
          {.name = name("saving", 8),
           .ours = large.save,
           .theirs = middle.save,
           .unit = "MiB",
           .target = 1.2,
           .ours_command = command,
           .theirs_command = "the same of a smaller job"},
          {.name = name("reading", 8),
           .ours = large.read,
           .theirs = middle.read,
           .unit = "MiB",
           .ours_command = "PodReader",
           .theirs_command = "the same of a smaller job"}};
}

Options Parse(int argc, char** argv) {
  Options options;
  bench::OptionParser parser("Memory for tables, by the size of the job.", options.json,
                             options.size_bytes);
  parser.add_option("--budget", options.budget_mib, "MiB, as checkpoint.memory_budget");
  parser.add_option("--threads", options.threads);
  parser.add_option("DIRECTORY", options.directory, "where to make one for checkpoints");
  size_t measured_mib = 0;
  parser.add_option("--measure", measured_mib)->group("");
  parser.ParseOrExit(argc, argv);
  if (measured_mib > 0) std::exit(Measure(options, measured_mib));
  return options;
}

}  // namespace
}  // namespace holdfast::storage

int main(int argc, char** argv) {
  using namespace holdfast::storage;
  const Options options = Parse(argc, argv);
  holdfast::bench::Print(MeasureAll(options), options.json);
}
