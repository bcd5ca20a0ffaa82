// How soon a restored process runs its own code again, and has all of its memory, against plain
// `criu restore`; both from a tmpfs. Needs root and CRIU:
//
//   restore_bench [--json] [--size MIB] [--threads N] [--runs N] [--init holdfast-pod-init]
//   [DIRECTORY]
//
// The pod holds one process with incompressible memory. "Runs" is when it answers: it waits for a
// FIFO to be written to, and then writes another one. Each figure is the median of its runs.

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/files.h"
#include "storage/checkpoint.h"
#include "tests/bench/figures.h"
#include "tests/bench/options.h"
#include "warden/criu.h"
#include "warden/dump.h"
#include "warden/pod.h"
#include "warden/restore.h"

namespace holdfast::warden {
namespace {

using bench::Die;
using bench::Figure;
using bench::Median;
using bench::Must;
using Clock = std::chrono::steady_clock;

struct Options {
  bool json = false;
  size_t size_bytes = 4ULL << 30;
  unsigned threads = std::thread::hardware_concurrency();
  int runs = 3;
  std::string init_program = HOLDFAST_LIBEXEC "/holdfast-pod-init";
  std::string directory = "/mnt";  // any, to mount the bench's own tmpfs on
};

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// The process in the pod: answers each byte on descriptor 3 with one on descriptor 4.
int Reside(size_t size_bytes) {
  auto* memory = static_cast<uint64_t*>(
      ::mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (memory == MAP_FAILED) return 1;
  std::mt19937_64 random(1);
  for (size_t i = 0; i < size_bytes / sizeof *memory; ++i) memory[i] = random();
  char byte = 'r';
  while (::write(4, &byte, 1) == 1 && ::read(3, &byte, 1) == 1) {
  }
  return 1;
}

class Bench {
 public:
  explicit Bench(const Options& options) : options_(options) {
    // Seen by this process and its pods alone, and gone with them.
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("", "/", nullptr, MS_PRIVATE | MS_REC, nullptr) != 0 ||
        ::mount("tmpfs", options_.directory.c_str(), "tmpfs", 0, "mode=0711,size=90%") != 0)
      Die(Error::Errno("mounting a tmpfs on " + options_.directory));
    for (const char* name : {"/ask", "/answer"}) {
      const std::string path = options.directory + name;
      if (::mkfifo(path.c_str(), 0666) != 0 || ::chmod(path.c_str(), 0666) != 0)
        Die(Error::Errno("mkfifo"));
    }
    // Read-write, so that no end ever sees the other gone.
    ask_ = Must(OpenFile(options.directory + "/ask", O_RDWR));
    answer_ = Must(OpenFile(options.directory + "/answer", O_RDWR));
  }

  std::vector<Figure> Measure() {
    MakePod();
    char self[4096] = {};
    if (::readlink("/proc/self/exe", self, sizeof self - 1) < 0) Die(Error::Errno("readlink"));
    Must(pod_->StartRoot(
        {"/bin/sh", "-c",
         fmt::format("exec {} --reside {} </dev/null >/dev/null 2>&1 3<>{}/ask "
                     "4<>{}/answer",
                     self, options_.size_bytes, options_.directory, options_.directory)}));
    Await();
    Must(MakeDirectories(Images(), 0700));
    Must(WarmFeatureCache(*pod_, "criu"));
    Criu({"dump", "--leave-running", "--tree", std::to_string(pod_->root_pid())}, true);
    const storage::Manifest manifest = Save();
    std::vector<double> plain, running, complete, eager;
    for (int run = 0; run < options_.runs; ++run) {
      plain.push_back(PlainRestore());
      Restore(manifest, true, running, complete);
      Restore(manifest, false, eager, eager);
    }
    const double theirs = Median(plain);
    return {{.name = "restore to first instruction / criu restore from tmpfs",
             .ours = Median(running),
             .theirs = theirs,
             .target = 0.15},
            {.name = "restore to all pages in / criu restore from tmpfs",
             .ours = Median(complete),
             .theirs = theirs,
             .target = 1.2},
            {.name = "eager restore / criu restore from tmpfs",
             .ours = Median(eager),
             .theirs = theirs}};
  }

 private:
  std::string Images() const { return options_.directory + "/images"; }

  void MakePod() {
    pod_.reset();
    pod_ = Must(Pod::Create({.hostname = "bench",
                             .owner = owner_,
                             .hosts = "127.0.0.1 localhost\n",
                             .state_directory = options_.directory + "/pod",
                             .init_program = options_.init_program}));
  }

  void Await() {
    char byte = 0;
    pollfd polled{.fd = answer_.get(), .events = POLLIN, .revents = 0};
    if (::poll(&polled, 1, 120000) != 1 || ::read(answer_.get(), &byte, 1) != 1)
      Die(Error(Code::kTimeout, "the process does not answer"));
  }
  void Ask() {
    if (::write(ask_.get(), "a", 1) != 1) Die(Error::Errno("write"));
    Await();
  }

  static EventSink NoEvents() {
    return [](const std::string&, std::chrono::nanoseconds, const std::string&) {};
  }

  storage::Manifest Save() {
    const std::string path = options_.directory + "/store";
    Must(MakeDirectories(path, 0700));
    if (::chown(path.c_str(), owner_.uid, owner_.gid) != 0) Die(Error::Errno("chown"));
    store_ = Must(storage::JobStore::Open(path, 1, owner_, storage::SiteKey{}));
    Must(store_->Prepare());
    const auto writer = Must(store_->Write(1, 0, {.threads = options_.threads}));
    const auto frozen = Must(FrozenPod::Save(
        *pod_, *writer,
        {.criu = "criu", .log_directory = options_.directory + "/log", .threads = options_.threads},
        NoEvents()));
    storage::Manifest manifest{.job_id = 1, .checkpoint = 1, .uid = owner_.uid, .gid = owner_.gid};
    manifest.hostnames = {"bench"};
    manifest.parts = {Must(writer->Finish())};
    Must(pod_->Kill());
    Must(store_->Commit(manifest));
    return manifest;
  }

  void Restore(const storage::Manifest& manifest, bool lazy, std::vector<double>& running,
               std::vector<double>& complete) {
    MakePod();
    const auto begin = Clock::now();
    const auto reader = Must(store_->Read(manifest, 0));
    auto held = Must(HeldPod::Restore(*pod_, *reader,
                                      {.criu = "criu",
                                       .log_directory = options_.directory + "/log",
                                       .work_directory = options_.directory + "/work",
                                       .threads = options_.threads,
                                       .lazy = lazy},
                                      NoEvents()));
    Must(held->Resume());
    Ask();
    running.push_back(SecondsSince(begin));
    if (const auto memory = held->TakeMemory()) {
      Must(memory->Wait(begin + std::chrono::seconds(600)));
      complete.push_back(SecondsSince(begin));
    }
    if (!options_.json)
      fmt::print(stderr, "{}: runs after {:.2f} s, {:.2f} s until all was there\n",
                 lazy ? "lazy" : "eager", running.back(), SecondsSince(begin));
    Must(pod_->Kill());
  }

  // CRIU alone, as one would run it by hand.
  void Criu(std::vector<std::string> arguments, bool real_ids) {
    const UniqueFd images = Must(OpenFile(Images(), O_RDONLY | O_DIRECTORY));
    SpawnOptions options;
    options.argv = {"criu"};
    options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
    options.argv.insert(options.argv.end(),
                        {"--images-dir", "/proc/self/fd/4", "--tcp-established", "--network-lock",
                         "skip", "--file-locks", "--manage-cgroups=ignore", "--shell-job"});
    options.fds = {{images.get(), 4}};
    if (real_ids && !HasSysResource()) options.real_identity = owner_;
    pod_->Enter(options);
    const auto output = Must(RunCommand(options, std::chrono::seconds(600)));
    if (!output.status.ok()) Die(Error(Code::kInternal, "criu alone failed: " + output.output));
  }

  double PlainRestore() {
    MakePod();
    const auto begin = Clock::now();
    Criu({"restore", "--restore-detached"}, false);
    Ask();
    const double seconds = SecondsSince(begin);
    if (!options_.json) fmt::print(stderr, "criu restore: {:.2f} s\n", seconds);
    Must(pod_->Kill());
    return seconds;
  }

  const Options& options_;
  const Identity owner_{.uid = 54321, .gid = 54321, .groups = {54321}};
  std::unique_ptr<storage::JobStore> store_;
  std::unique_ptr<Pod> pod_;
  UniqueFd ask_, answer_;
};

Options Parse(int argc, char** argv) {
  Options options;
  bench::OptionParser parser("Restoring a pod, against CRIU by hand. Needs root and CRIU.",
                             options.json, options.size_bytes);
  parser.add_option("--threads", options.threads);
  parser.add_option("--runs", options.runs)->check(CLI::PositiveNumber);
  parser.add_option("--init", options.init_program, "holdfast-pod-init");
  parser.add_option("DIRECTORY", options.directory, "any, to mount a tmpfs on");
  parser.RunInstead("--reside", Reside);
  parser.ParseOrExit(argc, argv);
  return options;
}

}  // namespace
}  // namespace holdfast::warden

int main(int argc, char** argv) {
  using namespace holdfast::warden;
  const Options options = Parse(argc, argv);
  Bench bench(options);
  holdfast::bench::Print(bench.Measure(), options.json);
}
