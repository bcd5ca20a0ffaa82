// How long a pod is frozen to be saved, what a second checkpoint costs, and how soon a restored one
// runs again, against CRIU alone, to and from a tmpfs. Needs root and CRIU:
//
//   move_bench [--json] [--size MIB] [--threads N] [--init holdfast-pod-init] [DIRECTORY]
//
// The pod holds one process with incompressible memory. "Runs again" is when it answers: it waits
// for a FIFO to be written to, and then writes another one.

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/files.h"
#include "storage/checkpoint.h"
#include "warden/criu.h"
#include "warden/dump.h"
#include "warden/pod.h"
#include "warden/restore.h"

namespace holdfast::warden {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  bool json = false;
  size_t size_bytes = 4ULL << 30;
  unsigned threads = std::thread::hardware_concurrency();
  std::string init_program = HOLDFAST_LIBEXEC "/holdfast-pod-init";
  std::string directory = "/mnt";  // any, to mount the bench's own tmpfs on
};

struct Figure {
  std::string name;
  double ours = 0;
  double theirs = 0;
  const char* unit = "s";
  double target = 0;
};

[[noreturn]] void Die(const Error& error) {
  fmt::print(stderr, "move_bench: {}\n", error.message());
  std::exit(1);
}
template <typename T>
T Must(Result<T> result) {
  if (!result) Die(result.error());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// ---- the process in the pod ----

void Randomize(uint64_t* words, size_t bytes, uint64_t seed) {
  std::mt19937_64 random(seed);
  for (size_t i = 0; i < bytes / sizeof *words; ++i) words[i] = random();
}

// Answers each byte on descriptor 3 with one on descriptor 4: 'c' after changing 5% of memory in
// runs of 256 KiB, 'r' after reading all of it, anything else at once.
int Reside(size_t size_bytes) {
  auto* memory = static_cast<uint64_t*>(
      ::mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (memory == MAP_FAILED) return 1;
  Randomize(memory, size_bytes, 1);
  uint64_t seed = 2, sum = 0;
  for (char command = 's'; command != 0;) {
    if (command == 'c')
      for (size_t at = seed++ % 20 * storage::kExtentBytes; at < size_bytes;
           at += 20 * storage::kExtentBytes)
        Randomize(memory + at / sizeof *memory, storage::kExtentBytes, seed * at);
    if (command == 'r')
      for (size_t at = 0; at < size_bytes; at += 4096) sum += memory[at / sizeof *memory];
    const char answer = sum == 42 ? 'n' : 'y';
    if (::write(4, &answer, 1) != 1 || ::read(3, &command, 1) != 1) return 1;
  }
  return 0;
}

// ---- the bench ----

class Bench {
 public:
  explicit Bench(const Options& options) : options_(options) {
    Mount();
    Must(MakeDirectories(Store(), 0700));
    if (::chown(Store().c_str(), owner_.uid, owner_.gid) != 0) Die(Error::Errno("chown"));
    store_ = Must(storage::JobStore::Open(Store(), 1, owner_, storage::SiteKey{}));
    Must(store_->Prepare());
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
    Must(pod_->StartRoot({"/bin/sh", "-c",
                          fmt::format("exec {} --reside {} </dev/null >/dev/null 2>&1 3<>{}/ask "
                                      "4<>{}/answer",
                                      Must(SelfPath()), options_.size_bytes, options_.directory,
                                      options_.directory)}));
    Await();
    const double plain_dump = PlainDump();
    const double first = Save(1);
    const uint64_t first_bytes = stored_bytes_;
    Say("first checkpoint", first);
    Ask('c');
    const double second = Save(2);
    const uint64_t second_bytes = stored_bytes_;
    Must(RemoveTree(Images()));
    const double plain_again = PlainDump();
    const double plain_restore = PlainRestore();
    const auto [running, complete] = Restore(2);
    return {
        {"first checkpoint / criu dump to tmpfs", first, plain_dump},
        {"freeze, 5% changed / criu dump to tmpfs", second, plain_again, "s", 0.4},
        {"stored, 5% changed / first", static_cast<double>(second_bytes) / 1e6,
         static_cast<double>(first_bytes) / 1e6, "MB", 0.08},
        {"restore to running / criu restore from tmpfs", running, plain_restore, "s", 0.15},
        {"restore to all memory read / criu restore from tmpfs", complete, plain_restore, "s", 1.2},
    };
  }

 private:
  std::string Store() const { return options_.directory + "/store"; }
  std::string Images() const { return options_.directory + "/images"; }

  static Result<std::string> SelfPath() {
    char path[4096] = {};
    if (::readlink("/proc/self/exe", path, sizeof path - 1) < 0) return FailErrno("readlink");
    return path;
  }

  // Seen by this process and its pods alone, and gone with them.
  void Mount() const {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("", "/", nullptr, MS_PRIVATE | MS_REC, nullptr) != 0 ||
        ::mount("tmpfs", options_.directory.c_str(), "tmpfs", 0, "mode=0711,size=90%") != 0)
      Die(Error::Errno("mounting a tmpfs on " + options_.directory));
  }

  void Say(const char* what, double seconds) const {
    if (!options_.json) fmt::print(stderr, "{}: {:.2f} s\n{}", what, seconds, events_);
  }

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
  void Ask(char command) {
    if (::write(ask_.get(), &command, 1) != 1) Die(Error::Errno("write"));
    Await();
  }

  EventSink Events() {
    events_.clear();
    return [this](const std::string& name, std::chrono::nanoseconds duration,
                  const std::string& detail) {
      events_ += fmt::format("  {:10} {:.3f} s {}\n", name,
                             std::chrono::duration<double>(duration).count(), detail);
    };
  }

  double Save(uint32_t checkpoint) {
    const auto begin = Clock::now();
    const auto writer = Must(store_->Write(checkpoint, 0, {.threads = options_.threads}));
    const auto frozen = Must(FrozenPod::Save(
        *pod_, *writer,
        {.criu = "criu", .log_directory = options_.directory + "/log", .threads = options_.threads},
        Events()));
    const storage::PartSummary part = Must(writer->Finish());
    Must(frozen->Resume());
    const double seconds = SecondsSince(begin);
    stored_bytes_ = part.stored_bytes;
    storage::Manifest manifest;
    manifest.job_id = 1;
    manifest.checkpoint = checkpoint;
    manifest.uid = owner_.uid;
    manifest.gid = owner_.gid;
    manifest.hostnames = {"bench"};
    manifest.parts = {part};
    Must(store_->Commit(manifest));
    Ask('s');
    return seconds;
  }

  std::pair<double, double> Restore(uint32_t checkpoint) {
    MakePod();
    const auto begin = Clock::now();
    const auto reader = Must(store_->Read(Must(store_->ReadManifest(checkpoint)), 0));
    const auto held = Must(HeldPod::Restore(*pod_, *reader,
                                            {.criu = "criu",
                                             .log_directory = options_.directory + "/log",
                                             .work_directory = options_.directory + "/work",
                                             .threads = options_.threads},
                                            Events()));
    Must(held->Resume());
    Ask('s');
    const double running = SecondsSince(begin);
    Ask('r');
    const double complete = SecondsSince(begin);
    Say("restore", running);
    return {running, complete};
  }

  // CRIU alone, as one would run it by hand.
  double Criu(std::vector<std::string> arguments, bool real_ids) {
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
    const auto begin = Clock::now();
    const auto output = Must(RunCommand(options, std::chrono::seconds(600)));
    const double seconds = SecondsSince(begin);
    if (!output.status.ok()) Die(Error(Code::kInternal, "criu alone failed: " + output.output));
    return seconds;
  }

  double PlainDump() {
    Must(MakeDirectories(Images(), 0700));
    Must(WarmFeatureCache(*pod_, "criu"));
    const double seconds =
        Criu({"dump", "--leave-running", "--tree", std::to_string(pod_->root_pid())}, true);
    Say("criu dump", seconds);
    return seconds;
  }

  double PlainRestore() {
    MakePod();
    const auto begin = Clock::now();
    Criu({"restore", "--restore-detached"}, false);
    Ask('s');
    const double seconds = SecondsSince(begin);
    Say("criu restore", seconds);
    Must(pod_->Kill());
    Must(RemoveTree(Images()));
    return seconds;
  }

  const Options& options_;
  const Identity owner_{.uid = 54321, .gid = 54321, .groups = {54321}};
  std::unique_ptr<storage::JobStore> store_;
  std::unique_ptr<Pod> pod_;
  UniqueFd ask_, answer_;
  uint64_t stored_bytes_ = 0;
  std::string events_;
};

void Print(const Options& options, const std::vector<Figure>& figures) {
  std::string separator = "[";
  for (const Figure& figure : figures) {
    const double ratio = figure.ours / figure.theirs;
    if (options.json) {
      fmt::print(
          "{}{{\"name\": \"{}\", \"ratio\": {:.4f}, \"target\": {}, \"higher_is_better\": false, "
          "\"ours\": {:.3f}, \"theirs\": {:.3f}, \"unit\": \"{}\"}}",
          separator, figure.name, ratio,
          figure.target > 0 ? fmt::format("{}", figure.target) : "null", figure.ours, figure.theirs,
          figure.unit);
      separator = ",\n ";
      continue;
    }
    fmt::print("{:54} {:9.2f} / {:9.2f} {:2} = {:5.3f}", figure.name, figure.ours, figure.theirs,
               figure.unit, ratio);
    if (figure.target > 0) fmt::print("  target at most {}", figure.target);
    fmt::print("\n");
  }
  if (options.json) fmt::print("]\n");
}

Options Parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const bool has_value = i + 1 < argc;
    if (argument == "--json") {
      options.json = true;
    } else if (argument == "--size" && has_value) {
      options.size_bytes = std::strtoull(argv[++i], nullptr, 10) << 20;
    } else if (argument == "--threads" && has_value) {
      options.threads = static_cast<unsigned>(std::atoi(argv[++i]));
    } else if (argument == "--init" && has_value) {
      options.init_program = argv[++i];
    } else if (argument == "--reside" && has_value) {
      std::exit(Reside(std::strtoull(argv[++i], nullptr, 10)));
    } else if (!argument.starts_with("-")) {
      options.directory = argument;
    } else {
      fmt::print(stderr,
                 "usage: move_bench [--json] [--size MIB] [--threads N] [--init PROGRAM] "
                 "[DIRECTORY]\n");
      std::exit(2);
    }
  }
  return options;
}

}  // namespace
}  // namespace holdfast::warden

int main(int argc, char** argv) {
  using namespace holdfast::warden;
  const Options options = Parse(argc, argv);
  Bench bench(options);
  Print(options, bench.Measure());
}
