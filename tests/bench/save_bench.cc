// How long a pod is frozen to be saved, how long until it is safe on a disk, and what a second
// checkpoint stores, against CRIU by hand. Needs root and CRIU:
//
//   save_bench [--json] [--size MIB] [--threads N] [--rounds N] [--init holdfast-pod-init]
//              [--preload holdfast-criu.so] [--disk DIRECTORY] [DIRECTORY]
//
// The pod holds one process with incompressible memory. A tmpfs of the bench's own is mounted on
// DIRECTORY; what is compared on a disk lies in a new directory below --disk. Before each of those
// the disk has written everything that waits.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <random>
#include <thread>

#include "base/files.h"
#include "storage/checkpoint.h"
#include "tests/bench/figures.h"
#include "tests/bench/options.h"
#include "tests/bench/touch_memory.h"
#include "warden/checkpoint/save.h"
#include "warden/criu/criu.h"
#include "warden/isolation/pod.h"
#include "warden/memory/huge_pages.h"
#include "warden/memory/precopy_memory.h"

namespace holdfast::warden {
namespace {

using bench::Die;
using bench::Figure;
using bench::Median;
using bench::Must;
using bench::TouchMemory;
using Clock = std::chrono::steady_clock;

struct Options {
  bool json = false;
  size_t size_bytes = 4ULL << 30;
  unsigned threads = 4;  // as a warden has
  int rounds = 3;
  std::string init_program = HOLDFAST_LIBEXEC "/holdfast-pod-init";
  std::string preload = HOLDFAST_LIBEXEC "/holdfast-criu.so";
  std::string disk = "/var/tmp";
  std::string directory = "/mnt";  // any, to mount the bench's own tmpfs on
};

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// ---- the process in the pod ----

void Randomize(uint64_t* words, size_t bytes, uint64_t seed) {
  std::mt19937_64 random(seed);
  for (size_t i = 0; i < bytes / sizeof *words; ++i) words[i] = random();
}

// Writes one word of pages drawn at random, as many as there are.
void Scatter(uint64_t* memory, size_t size_bytes) {
  std::mt19937_64 random(7);
  for (size_t i = 0; i < size_bytes / 4096; ++i) ++memory[random() % (size_bytes / 8)];
}

// Answers each byte on descriptor 3 with one on descriptor 4: 'c' after changing 5% of memory in
// runs of 256 KiB, 'w' after writing to each page, 'r' to pages at random, anything else at once.
int Reside(size_t size_bytes, bool huge) {
  auto* memory = static_cast<uint64_t*>(
      ::mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (memory == MAP_FAILED) return 1;
  if (huge) ::madvise(memory, size_bytes, MADV_HUGEPAGE);
  Randomize(memory, size_bytes, 1);
  uint64_t seed = 2;
  for (char command = 's'; command != 0;) {
    if (command == 'c') {
      for (size_t at = seed % 20 * storage::kExtentBytes; at < size_bytes;
           at += 20 * storage::kExtentBytes)
        Randomize(memory + at / sizeof *memory, storage::kExtentBytes, seed << 32 | at);
      ++seed;
    }
    if (command == 'w')
      for (size_t at = 0; at < size_bytes; at += 4096) ++memory[at / sizeof *memory];
    if (command == 'r') Scatter(memory, size_bytes);
    const char answer = 'y';
    if (::write(4, &answer, 1) != 1 || ::read(3, &command, 1) != 1) return 1;
  }
  return 0;
}

// ---- the bench ----

class Bench {
 public:
  explicit Bench(const Options& options) : options_(options) {
    Mount();
    std::string disk = options.disk + "/holdfast-bench-XXXXXX";
    if (::mkdtemp(disk.data()) == nullptr) Die(Error::Errno("making " + disk));
    if (::chmod(disk.c_str(), 0711) != 0) Die(Error::Errno("chmod " + disk));
    disk_ = disk;
    for (const char* name : {"/ask", "/answer"}) {
      const std::string path = options.directory + name;
      if (::mkfifo(path.c_str(), 0666) != 0 || ::chmod(path.c_str(), 0666) != 0)
        Die(Error::Errno("mkfifo"));
    }
    // Read-write, so that no end ever sees the other gone.
    ask_ = Must(OpenFile(options.directory + "/ask", O_RDWR));
    answer_ = Must(OpenFile(options.directory + "/answer", O_RDWR));
  }
  ~Bench() {
    store_.reset();
    pod_.reset();
    Must(RemoveTree(disk_));
  }

  std::vector<Figure> Measure() {
    MakePod("--reside");
    std::vector<Figure> figures = OnTmpfs();
    for (Figure& figure : OnDisk()) figures.push_back(std::move(figure));
    pod_.reset();
    MakePod("--reside-huge");
    for (Figure& figure : Writes("in huge pages")) figures.push_back(std::move(figure));
    return figures;
  }

 private:
  struct Saved {
    double frozen = 0;     // seconds from the wish until the processes go on
    double committed = 0;  // seconds from the wish until the manifest is durable
    double stored = 0;     // bytes
    double cpu = 0;        // seconds of CPU time, CRIU's and the pre-copy's among them
  };

  std::vector<Figure> OnTmpfs() {
    const std::string images = options_.directory + "/images";
    OpenStore(options_.directory);
    const double first_stored = Save().stored;
    std::vector<double> ours, theirs, stored, untracked;
    for (int i = 0; i < options_.rounds; ++i) {
      Ask('c');
      TouchMemory(options_.size_bytes);
      untracked.push_back(Save().frozen);
    }
    Ask('c');
    const double untracked_cpu = Save(true).cpu;
    tracking_.emplace(/*verify=*/false);
    Save();
    for (int i = 0; i < options_.rounds; ++i) {
      Ask('c');
      TouchMemory(options_.size_bytes);
      const Saved saved = Save();
      ours.push_back(saved.frozen);
      stored.push_back(saved.stored);
      TouchMemory(options_.size_bytes);
      theirs.push_back(CriuDump(images));
      Must(RemoveTree(images));
    }
    Ask('c');
    const double tracked_cpu = Save(true).cpu;
    const std::vector<Figure> writes = Writes("in small pages");
    const std::string criu = "criu dump --leave-running, images in a tmpfs";
    return {writes[0],
            writes[1],
            {.name = "freeze, 5% changed / criu dump to tmpfs",
             .ours = Median(ours),
             .theirs = Median(theirs),
             .target = 0.4,
             .ours_command = "holdfast save, frozen until it goes on, store in a tmpfs",
             .theirs_command = criu},
            {.name = "freeze, 5% changed / without tracking of writes",
             .ours = Median(ours),
             .theirs = Median(untracked),
             .ours_command = "holdfast save, checkpoint.write_tracking: auto",
             .theirs_command = "the same, checkpoint.write_tracking: off"},
            {.name = "CPU time of a save, pre-copy included / without tracking of writes",
             .ours = tracked_cpu,
             .theirs = untracked_cpu,
             .ours_command = "5% changed before the pre-copy and 5% after it, write_tracking: auto",
             .theirs_command = "the same, checkpoint.write_tracking: off"},
            {.name = "bytes stored, 5% changed / first checkpoint",
             .ours = Median(stored) / 1e6,
             .theirs = first_stored / 1e6,
             .unit = "MB",
             .target = 0.08,
             .ours_command = "packs and part of the second checkpoint",
             .theirs_command = "packs and part of the first"}};
  }

  // What the first write to a page costs that was saved.
  std::vector<Figure> Writes(const std::string& where) {
    Must(store_->Prune(0));
    OpenStore(options_.directory);
    tracking_.emplace(/*verify=*/false);
    const auto compare = [&](char command, const std::string& how) {
      // Huge pages that have been split are made again after the second save.
      for (int i = 0; i < 3; ++i) Save();
      const double first = Time(command);
      return Figure{.name = fmt::format("writing {}, {}, after a save / later", how, where),
                    .ours = first,
                    .theirs = Time(command),
                    .ours_command = "first writes after a save, which is tracked",
                    .theirs_command = "the same again"};
    };
    const std::vector<Figure> figures = {compare('w', "to every page"),
                                         compare('r', "here and there")};
    tracking_.reset();
    Must(store_->Prune(0));
    return figures;
  }

  std::vector<Figure> OnDisk() {
    const double theirs = DumpArchiveCopy();
    OpenStore(disk_);
    ::sync();
    TouchMemory(options_.size_bytes);
    const Saved first = Save();
    Ask('c');
    ::sync();
    TouchMemory(options_.size_bytes);
    const double second = Save().committed;
    Must(store_->Prune(0));
    OpenStore(disk_);
    ::sync();
    TouchMemory(options_.size_bytes);
    const Saved precopied = Save(true);
    const std::string by_hand =
        "criu dump --leave-running --images-dir DISK/images; "
        "tar -cf DISK/images.tar images; cp images.tar DISK/shared; sync -f";
    return {{.name = "to committed, first / criu dump, tar, copy, fsync",
             .ours = first.committed,
             .theirs = theirs,
             .target = 0.5,
             .ours_command = "holdfast save until committed, store on DISK",
             .theirs_command = by_hand},
            {.name = "to committed, 5% changed / criu dump, tar, copy, fsync",
             .ours = second,
             .theirs = theirs,
             .target = 0.15,
             .ours_command = "the same again",
             .theirs_command = by_hand},
            {.name = "freeze, first to disk: with pre-copy, 5% changed meanwhile / without",
             .ours = precopied.frozen,
             .theirs = first.frozen,
             .ours_command = "holdfast save, checkpoint.precopy_cpu: 10",
             .theirs_command = "holdfast save, checkpoint.precopy_cpu: 0"}};
  }

  // Seen by this process and its pods alone, and gone with them.
  void Mount() const {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("", "/", nullptr, MS_PRIVATE | MS_REC, nullptr) != 0 ||
        ::mount("tmpfs", options_.directory.c_str(), "tmpfs", 0, "mode=0711,size=90%") != 0)
      Die(Error::Errno("mounting a tmpfs on " + options_.directory));
  }

  void OpenStore(const std::string& directory) {
    const std::string place = directory + "/store";
    Must(MakeDirectories(place, 0700));
    if (::chown(place.c_str(), owner_.uid, owner_.gid) != 0) Die(Error::Errno("chown"));
    store_ = Must(storage::JobStore::Open(place, {.id = 1}, owner_, storage::SiteKey{}));
    Must(store_->Prepare());
    checkpoint_ = 0;
  }

  void MakePod(const char* what) {
    pod_ = Must(Pod::Create({.hostname = "bench",
                             .owner = owner_,
                             .hosts = "127.0.0.1 localhost\n",
                             .init_program = options_.init_program}));
    char self[4096] = {};
    if (::readlink("/proc/self/exe", self, sizeof self - 1) < 0) Die(Error::Errno("readlink"));
    Must(pod_->StartRoot(
        {"/bin/sh", "-c",
         fmt::format("exec {} {} {} </dev/null >/dev/null 2>&1 3<>{}/ask 4<>{}/answer", self, what,
                     options_.size_bytes, options_.directory, options_.directory)}));
    Await();
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

  double Time(char command) {
    const auto begin = Clock::now();
    Ask(command);
    return SecondsSince(begin);
  }

  void Say(const std::string& what, double seconds) const {
    fmt::print(stderr, "  {}: {:.3f} s\n", what, seconds);
  }
  EventSink Events() {
    return [this](const std::string& name, std::chrono::nanoseconds duration,
                  const std::string& detail) {
      Say("  " + name + " " + detail, std::chrono::duration<double>(duration).count());
    };
  }

  // What the freeze will not have to store again, within a tenth of the cores.
  void PrecopyPod(storage::PodWriter& writer) {
    const auto begin = Clock::now();
    const PrecopyResult result = Must(PrecopyMemory(
        *pod_, writer, {.threads = 1, .cores = std::thread::hardware_concurrency() * 0.1}, {},
        tracking_ ? &*tracking_ : nullptr));
    Must(writer.Flush());
    Must(writer.BeginAgain());
    Say(fmt::format("pre-copy, {:.2f} s of CPU time",
                    std::chrono::duration<double>(result.cpu_time).count()),
        SecondsSince(begin));
    Ask('c');
  }

  // Of this process and what it has started and waited for.
  static double CpuSeconds() {
    double seconds = 0;
    for (const int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
      rusage usage{};
      ::getrusage(who, &usage);
      for (const timeval& time : {usage.ru_utime, usage.ru_stime})
        seconds += static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    }
    return seconds;
  }

  // One checkpoint, as a warden makes it.
  Saved Save(bool with_precopy = false) {
    const uint32_t number = ++checkpoint_;
    const double cpu = CpuSeconds();
    const auto begin = Clock::now();
    const auto writer = Must(store_->Write(number, 0, {.threads = options_.threads}));
    if (with_precopy) PrecopyPod(*writer);
    const auto cut = Clock::now();
    const auto frozen = Must(FrozenPod::Save(*pod_, *writer,
                                             {.criu = "criu",
                                              .criu_preload = options_.preload,
                                              .waits = &waits_,
                                              .tracking = tracking_ ? &*tracking_ : nullptr,
                                              .checkpoint = number,
                                              .log_directory = options_.directory + "/log",
                                              .threads = options_.threads},
                                             Events()));
    const storage::PartSummary part = Must(writer->Finish());
    storage::Manifest manifest;
    manifest.job = {.id = 1};
    manifest.checkpoint = number;
    manifest.uid = owner_.uid;
    manifest.gid = owner_.gid;
    manifest.hostnames = {"bench"};
    manifest.parts = {part};
    Must(store_->Commit(manifest));
    const double committed = SecondsSince(begin);
    Must(frozen->Resume());
    const double running = SecondsSince(cut);
    if (tracking_) {
      const HugePagePlan split = tracking_->TakeSplit();
      MakeHugePages(*pod_, HugePageRules::OfThisNode(), split, {});
    }
    Say(fmt::format("checkpoint {} committed", number), committed);
    Ask('s');
    return {.frozen = running,
            .committed = committed,
            .stored = static_cast<double>(part.stored_bytes),
            .cpu = CpuSeconds() - cpu};
  }

  // CRIU alone, as one would run it by hand.
  double CriuDump(const std::string& directory) {
    Must(MakeDirectories(directory, 0700));
    const UniqueFd images = Must(OpenFile(directory, O_RDONLY | O_DIRECTORY));
    Must(ProvideFeatureCache(*pod_, "criu", images));
    if (::fchown(images.get(), owner_.uid, owner_.gid) != 0) Die(Error::Errno("chown"));
    SpawnOptions options;
    options.argv = {"criu",
                    "dump",
                    "--leave-running",
                    "--tree",
                    std::to_string(pod_->root_pid()),
                    "--images-dir",
                    "/proc/self/fd/4",
                    "--tcp-established",
                    "--network-lock",
                    "skip",
                    "--file-locks",
                    "--manage-cgroups=ignore",
                    "--shell-job",
                    "--unprivileged"};
    options.fds = {{images.get(), 4}};
    options.env = CriuEnvironment();
    RunAsOwner(options, owner_);
    pod_->Enter(options);
    const auto begin = Clock::now();
    const auto output = Must(RunCommand(options, std::chrono::seconds(600)));
    const double seconds = SecondsSince(begin);
    if (!output.status.ok()) Die(Error(Code::kInternal, "criu alone failed: " + output.output));
    Say("criu dump to " + directory, seconds);
    return seconds;
  }

  double DumpArchiveCopy() {
    ::sync();
    TouchMemory(3 * options_.size_bytes);  // images, archive, copy
    const auto begin = Clock::now();
    CriuDump(disk_ + "/images");
    const auto output =
        Must(RunCommand({.argv = {"/bin/sh", "-ec",
                                  "tar -cf images.tar images; mkdir shared; cp images.tar shared; "
                                  "sync shared/images.tar; sync shared"},
                         .cwd = disk_},
                        std::chrono::seconds(1200)));
    const double seconds = SecondsSince(begin);
    if (!output.status.ok()) Die(Error(Code::kInternal, "archiving failed: " + output.output));
    Say("dump, tar, copy, fsync", seconds);
    for (const char* name : {"/images", "/images.tar", "/shared"}) Must(RemoveTree(disk_ + name));
    return seconds;
  }

  const Options& options_;
  const Identity owner_{.uid = 54321, .gid = 54321, .groups = {54321}};
  std::string disk_;
  UniqueFd waits_{::memfd_create("waits", MFD_CLOEXEC)};
  std::unique_ptr<Pod> pod_;
  std::unique_ptr<storage::JobStore> store_;
  uint32_t checkpoint_ = 0;
  UniqueFd ask_, answer_;
  std::optional<WriteTracking> tracking_;
};

Options Parse(int argc, char** argv) {
  Options options;
  bench::OptionParser parser("Saving a pod, against CRIU by hand. Needs root and CRIU.",
                             options.json, options.size_bytes);
  parser.add_option("--threads", options.threads);
  parser.add_option("--rounds", options.rounds);
  parser.add_option("--init", options.init_program, "holdfast-pod-init");
  parser.add_option("--preload", options.preload, "holdfast-criu.so");
  parser.add_option("--disk", options.disk, "where to make a directory to compare on a disk");
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
