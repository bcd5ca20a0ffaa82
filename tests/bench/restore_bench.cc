// How soon a restored process runs its own code again, and has all of its memory, against plain
// `criu restore`; both from a tmpfs. Needs root and CRIU:
//
//   restore_bench [--json] [--size MIB] [--threads N] [--runs N] [--init holdfast-pod-init]
//                 [--preload holdfast-criu.so] [DIRECTORY]
//
// The pod holds one process with incompressible memory. "Runs" is when it answers: it waits for a
// FIFO to be written to, and then writes another one. Each figure is the median of its runs.
//
// A second process has its memory in huge pages. What is measured of it is how fast it reads here
// and there, before it is saved and after it has been restored.

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
#include <functional>
#include <random>
#include <semaphore>
#include <string>
#include <thread>
#include <vector>

#include "base/files.h"
#include "storage/checkpoint.h"
#include "tests/bench/figures.h"
#include "tests/bench/options.h"
#include "tests/bench/touch_memory.h"
#include "warden/checkpoint/restore.h"
#include "warden/checkpoint/save.h"
#include "warden/criu/criu.h"
#include "warden/isolation/pod.h"
#include "warden/memory/huge_pages.h"

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
  std::string preload = HOLDFAST_LIBEXEC "/holdfast-criu.so";
  std::string directory = "/mnt";  // any, to mount the bench's own tmpfs on
};

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// The process in the pod: answers each byte on descriptor 3 with one on descriptor 4, after reading
// here and there in its memory if it was 'w'.
int Reside(size_t size_bytes, bool in_huge_pages) {
  constexpr int kReads = 50'000'000;
  auto* memory = static_cast<uint64_t*>(
      ::mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (memory == MAP_FAILED) return 1;
  if (in_huge_pages) ::madvise(memory, size_bytes, MADV_HUGEPAGE);
  const size_t words = size_bytes / sizeof *memory;
  std::mt19937_64 random(1);
  for (size_t i = 0; i < words; ++i) memory[i] = random();
  uint64_t at = 1;
  char byte = 'r';
  while (::write(4, &byte, 1) == 1 && ::read(3, &byte, 1) == 1) {
    // Where to read next depends on what was read, as in a list.
    for (int i = 0; byte == 'w' && i < kReads; ++i) at = at * 3 + memory[at % words];
    [[maybe_unused]] const volatile uint64_t kept = at;  // so that reading is not for nothing
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
    std::vector<Figure> figures = Restores();
    for (Figure& figure : HugePages()) figures.push_back(std::move(figure));
    return figures;
  }

 private:
  std::vector<Figure> Restores() {
    const storage::Manifest manifest = SaveBothWays(1, "--reside", options_.size_bytes);
    std::vector<double> plain, running, complete, eager;
    for (int run = 0; run < options_.runs; ++run) {
      plain.push_back(PlainRestore());
      Restore(manifest, MemoryComes::kLater, running, complete);
      Restore(manifest, MemoryComes::kFirst, eager, eager);
    }
    const double theirs = Median(plain);
    const std::string criu = "criu restore --restore-detached, images in a tmpfs";
    return {{.name = "restore to first instruction / criu restore from tmpfs",
             .ours = Median(running),
             .theirs = theirs,
             .target = 0.15,
             .ours_command = "holdfast restore, store in a tmpfs",
             .theirs_command = criu},
            {.name = "restore to all pages in / criu restore from tmpfs",
             .ours = Median(complete),
             .theirs = theirs,
             .target = 1.2,
             .ours_command = "the same, until the event pages-in",
             .theirs_command = criu},
            {.name = "eager restore / criu restore from tmpfs",
             .ours = Median(eager),
             .theirs = theirs,
             .ours_command = "the same, checkpoint.restore: eager",
             .theirs_command = criu}};
  }

  std::vector<Figure> HugePages() {
    if (HugePageRules::OfThisNode().where == HugePageRules::Where::kNever) {
      fmt::print(stderr, "restore_bench: this machine makes no transparent huge pages\n");
      return {};
    }
    double before = 0, ours = 0, theirs = 0;
    const storage::Manifest manifest = SaveBothWays(2, "--reside-huge", options_.size_bytes / 2,
                                                    [&] { before = ReadHereAndThere(); });
    PlainRestore([&] { theirs = ReadHereAndThere(); });
    std::vector<double> running, complete;
    while (huge_pages_.try_acquire()) {
    }
    Restore(manifest, MemoryComes::kLater, running, complete, [&] {
      if (!huge_pages_.try_acquire_for(std::chrono::seconds(60)))
        Die(Error(Code::kTimeout, "no huge pages were made"));
      ours = ReadHereAndThere();
    });
    const std::string reads = "reads of 2 GiB in huge pages, each depending on the one before";
    return {{.name = "reading here and there, after a restore / before",
             .ours = ours,
             .theirs = before,
             .target = 1.05,
             .ours_command = "the same once all pages are in",
             .theirs_command = reads},
            {.name = "reading here and there, after a restore / after criu restore",
             .ours = ours,
             .theirs = theirs,
             .target = 1.0,
             .ours_command = "the same once all pages are in",
             .theirs_command = "the same"}};
  }

  // A process, saved by CRIU alone and as a checkpoint.
  storage::Manifest SaveBothWays(
      uint32_t number, const std::string& option, size_t size_bytes,
      const std::function<void()>& before = [] {}) {
    MakePod();
    char self[4096] = {};
    if (::readlink("/proc/self/exe", self, sizeof self - 1) < 0) Die(Error::Errno("readlink"));
    Must(pod_->StartRoot(
        {"/bin/sh", "-c",
         fmt::format("exec {} {} {} </dev/null >/dev/null 2>&1 3<>{}/ask 4<>{}/answer", self,
                     option, size_bytes, options_.directory, options_.directory)}));
    Await();
    before();
    Must(RemoveTree(Images()));
    Must(MakeDirectories(Images(), 0700));
    Criu({"dump", "--unprivileged", "--leave-running", "--tree", std::to_string(pod_->root_pid())},
         true);
    return Save(number);
  }

  // Seconds.
  double ReadHereAndThere() {
    const auto begin = Clock::now();
    Ask('w');
    const double seconds = SecondsSince(begin);
    if (!options_.json) fmt::print(stderr, "reading here and there: {:.2f} s\n", seconds);
    return seconds;
  }

  std::string Images() const { return options_.directory + "/images"; }

  void MakePod() {
    pod_.reset();
    pod_ = Must(Pod::Create({.hostname = "bench",
                             .owner = owner_,
                             .hosts = "127.0.0.1 localhost\n",
                             .init_program = options_.init_program}));
  }

  void Await() {
    char byte = 0;
    pollfd polled{.fd = answer_.get(), .events = POLLIN, .revents = 0};
    if (::poll(&polled, 1, 120000) != 1 || ::read(answer_.get(), &byte, 1) != 1)
      Die(Error(Code::kTimeout, "the process does not answer"));
  }
  void Ask(char command = 'a') {
    if (::write(ask_.get(), &command, 1) != 1) Die(Error::Errno("write"));
    Await();
  }

  EventSink Events() {
    return [this](const std::string& name, std::chrono::nanoseconds, const std::string&) {
      if (name == "huge-pages") huge_pages_.release();
    };
  }

  storage::Manifest Save(uint32_t number) {
    const std::string path = options_.directory + "/store";
    Must(MakeDirectories(path, 0700));
    if (::chown(path.c_str(), owner_.uid, owner_.gid) != 0) Die(Error::Errno("chown"));
    store_ = Must(storage::JobStore::Open(path, {.id = 1}, owner_, storage::SiteKey{}));
    Must(store_->Prepare());
    const auto writer = Must(store_->Write(number, 0, {.threads = options_.threads}));
    const auto frozen = Must(FrozenPod::Save(*pod_, *writer,
                                             {.criu = "criu",
                                              .criu_preload = options_.preload,
                                              .waits = &waits_,
                                              .log_directory = options_.directory + "/log",
                                              .threads = options_.threads},
                                             Events()));
    storage::Manifest manifest{
        .job = {.id = 1}, .checkpoint = number, .uid = owner_.uid, .gid = owner_.gid};
    manifest.hostnames = {"bench"};
    manifest.parts = {Must(writer->Finish())};
    Must(pod_->Kill());
    Must(store_->Commit(manifest));
    return manifest;
  }

  void Restore(
      const storage::Manifest& manifest, MemoryComes comes, std::vector<double>& running,
      std::vector<double>& complete, const std::function<void()>& then = [] {}) {
    MakePod();
    bench::TouchMemory(options_.size_bytes);
    const auto begin = Clock::now();
    const auto reader = Must(store_->Read(manifest, 0));
    auto held = Must(HeldPod::Restore(*pod_, *reader,
                                      {.criu = "criu",
                                       .log_directory = options_.directory + "/log",
                                       .work_directory = options_.directory + "/work",
                                       .threads = options_.threads,
                                       .memory = comes},
                                      Events()));
    Must(held->Resume());
    Ask();
    running.push_back(SecondsSince(begin));
    const auto memory = held->TakeMemory();
    if (memory) Must(memory->Wait(begin + std::chrono::seconds(600)));
    if (comes == MemoryComes::kLater) complete.push_back(SecondsSince(begin));
    if (!options_.json)
      fmt::print(stderr, "{}: runs after {:.2f} s, {:.2f} s until all was there\n",
                 comes == MemoryComes::kLater ? "lazy" : "eager", running.back(),
                 SecondsSince(begin));
    then();
    Must(pod_->Kill());
  }

  // CRIU alone, as one would run it by hand.
  void Criu(std::vector<std::string> arguments, bool as_owner) {
    const UniqueFd images = Must(OpenFile(Images(), O_RDONLY | O_DIRECTORY));
    SpawnOptions options;
    options.argv = {"criu"};
    options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
    options.argv.insert(options.argv.end(),
                        {"--images-dir", "/proc/self/fd/4", "--tcp-established", "--network-lock",
                         "skip", "--file-locks", "--manage-cgroups=ignore", "--shell-job"});
    options.fds = {{images.get(), 4}};
    if (as_owner) {
      if (::fchown(images.get(), owner_.uid, owner_.gid) != 0) Die(Error::Errno("chown"));
      Must(ProvideFeatureCache(*pod_, "criu", images));
      options.env = CriuEnvironment();
      RunAsOwner(options, owner_);
    }
    pod_->Enter(options);
    const auto output = Must(RunCommand(options, std::chrono::seconds(600)));
    if (!output.status.ok()) Die(Error(Code::kInternal, "criu alone failed: " + output.output));
  }

  double PlainRestore(const std::function<void()>& then = [] {}) {
    MakePod();
    bench::TouchMemory(options_.size_bytes);
    const auto begin = Clock::now();
    Criu({"restore", "--restore-detached"}, false);
    Ask();
    const double seconds = SecondsSince(begin);
    if (!options_.json) fmt::print(stderr, "criu restore: {:.2f} s\n", seconds);
    then();
    Must(pod_->Kill());
    return seconds;
  }

  const Options& options_;
  const Identity owner_{.uid = 54321, .gid = 54321, .groups = {54321}};
  std::unique_ptr<storage::JobStore> store_;
  UniqueFd waits_{::memfd_create("waits", MFD_CLOEXEC)};
  std::unique_ptr<Pod> pod_;
  UniqueFd ask_, answer_;
  std::counting_semaphore<> huge_pages_{0};  // how often they were made
};

Options Parse(int argc, char** argv) {
  Options options;
  bench::OptionParser parser("Restoring a pod, against CRIU by hand. Needs root and CRIU.",
                             options.json, options.size_bytes);
  parser.add_option("--threads", options.threads);
  parser.add_option("--runs", options.runs)->check(CLI::PositiveNumber);
  parser.add_option("--init", options.init_program, "holdfast-pod-init");
  parser.add_option("--preload", options.preload, "holdfast-criu.so");
  parser.add_option("DIRECTORY", options.directory, "any, to mount a tmpfs on");
  parser.RunInstead("--reside", [](size_t size_bytes) { return Reside(size_bytes, false); });
  parser.RunInstead("--reside-huge", [](size_t size_bytes) { return Reside(size_bytes, true); });
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
