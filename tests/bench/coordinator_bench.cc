// What the coordinator costs as jobs and nodes become many: the real one, with its journal on a
// disk and real streams of wardens, whose pods and whose Slurm are imaginary.
//
//   coordinator_bench [--json] [--shape JOBSxPODS]... [DIRECTORY]
//
// Each shape is measured in a process of its own, with the wardens in another one. MUNGE is not in
// it: credentials are trusted as they are. Everything is saved at the same moment, so what is told
// of a job among many is what it has to wait for all the others.

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/log.h"
#include "base/process.h"
#include "coordinator/controller.h"
#include "coordinator/journal.h"
#include "coordinator/warden_service.h"
#include "tests/bench/figures.h"
#include "tests/bench/options.h"
#include "tests/bench/quiet_slurm.h"
#include "tests/bench/warden_crowd.h"
#include "tests/unit/coordinator/fakes.h"

namespace holdfast::bench {
namespace {

using namespace holdfast::coordinator;
using Clock = std::chrono::steady_clock;
using nlohmann::ordered_json;

constexpr std::chrono::seconds kIdle{20};
constexpr std::chrono::milliseconds kLate{500};

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

Shape ParseShape(const std::string& text) {
  Shape shape;
  if (std::sscanf(text.c_str(), "%ux%u", &shape.jobs, &shape.pods) != 2)
    Die(Error(Code::kInvalid, fmt::format("--shape {}: JOBSxPODS is expected", text)));
  return shape;
}

std::atomic<uint64_t> g_commits = 0;

// Of every database that this process opens.
void CountCommits() {
  const auto on_open = +[](sqlite3* database, char**, const sqlite3_api_routines*) {
    sqlite3_commit_hook(
        database,
        [](void*) {
          ++g_commits;
          return 0;
        },
        nullptr);
    return SQLITE_OK;
  };
  sqlite3_auto_extension(reinterpret_cast<void (*)()>(on_open));
}

double CpuSeconds() {
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double ResidentMiB() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmRSS:")) return std::strtod(line.c_str() + 6, nullptr) / 1024;
  return 0;
}

size_t CountEntries(const char* directory) {
  const std::filesystem::directory_iterator entries(directory);
  return static_cast<size_t>(std::distance(begin(entries), end(entries)));
}

// This process again, in another role; lines go both ways.
class Other {
 public:
  explicit Other(std::vector<std::string> arguments) {
    std::array<int, 2> to = {}, from = {};
    if (::pipe2(to.data(), O_CLOEXEC) != 0 || ::pipe2(from.data(), O_CLOEXEC) != 0)
      Die(Error::FromErrno("pipe", errno));
    arguments.insert(arguments.begin(), "/proc/self/exe");
    process_.emplace(
        Must(Process::Spawn({.argv = std::move(arguments), .fds = {{to[0], 0}, {from[1], 1}}})));
    ::close(to[0]);
    ::close(from[1]);
    to_ = ::fdopen(to[1], "w");
    from_ = ::fdopen(from[0], "r");
  }
  ~Other() {
    std::fclose(to_);
    std::fclose(from_);
  }
  void Tell(const std::string& line) {
    fmt::print(to_, "{}\n", line);
    std::fflush(to_);
  }
  ordered_json Hear() {
    char* line = nullptr;
    size_t size = 0;
    if (::getline(&line, &size, from_) <= 0)
      Die(Error(Code::kInternal, "a process of the bench ended early"));
    ordered_json heard = ordered_json::parse(line);
    std::free(line);
    return heard;
  }

 private:
  std::optional<Process> process_;
  FILE* to_ = nullptr;
  FILE* from_ = nullptr;
};

// The wardens' process. Each line it reads is how many milliseconds the last pod of each job is
// late in the next checkpoint.
void BeWardens(const std::string& address, Shape shape) {
  Crowd crowd({.address = address, .jobs = shape.jobs, .pods = shape.pods});
  crowd.Start();
  std::cout << ordered_json{{"running", true}} << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    crowd.set_late(std::chrono::milliseconds(std::stol(line)));
    std::cout << ordered_json{{"ready", true}} << std::endl;
    const Crowd::Saved saved = crowd.AwaitSaved();
    std::cout << ordered_json{{"commit_median", Median(saved.commit_seconds)},
                              {"commit_max", std::ranges::max(saved.commit_seconds)},
                              {"settle_median", Median(saved.settle_seconds)},
                              {"settle_max", std::ranges::max(saved.settle_seconds)},
                              {"messages", saved.messages}}
              << std::endl;
  }
}

// The coordinator's process: one shape.
class Measurement {
 public:
  Measurement(Shape shape, const std::string& directory)
      : shape_(shape), path_(directory + "/journal.db"), slurm_(shape) {}

  ordered_json Run(const std::string& log) {
    Must(log::Open("holdfast-coordinator", log));
    CountCommits();
    Begin();
    Other wardens({"--wardens", fmt::format("127.0.0.1:{}", service_->port()), "--shape",
                   fmt::format("{}x{}", shape_.jobs, shape_.pods)});
    const auto begin = Clock::now();
    wardens.Hear();
    AwaitRunning();
    figures_["start_seconds"] = SecondsSince(begin);
    figures_["start_slurm_requests"] = slurm_.requests.load();
    figures_["start_commits"] = g_commits.load();
    MeasureIdle();
    Save(wardens, std::chrono::milliseconds(0), "together");
    if (shape_.pods > 1) Save(wardens, kLate, "late");
    figures_["resident_after_mib"] = ResidentMiB();
    End();
    const auto restart = Clock::now();
    const double cpu = CpuSeconds();
    Begin();
    figures_["restart_seconds"] = SecondsSince(restart);
    figures_["restart_cpu_seconds"] = CpuSeconds() - cpu;
    End();
    return figures_;
  }

 private:
  void Begin() {
    journal_ = Must(Journal::Open(path_));
    controller_ = std::make_unique<Controller>(Controller::Options{}, *journal_, slurm_, metrics_);
    Must(controller_->Start());
    service_ = std::make_unique<WardenService>(*controller_, slurm_, authenticator_);
    Must(service_->Listen("127.0.0.1:0"));
  }
  void End() {
    controller_->Stop();
    service_->Shutdown();
    service_.reset();
    controller_.reset();
    journal_.reset();
  }

  void AwaitRunning() {
    const auto runs = [](const Job& job) { return job.stage == Stage::kRunning && job.can_save(); };
    for (uint32_t id = kFirstJob; id < kFirstJob + shape_.jobs;) {
      const auto job = controller_->Find(id);
      if (job && runs(*job))
        ++id;
      else
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }

  void MeasureIdle() {
    std::this_thread::sleep_for(std::chrono::seconds(3));
    const double cpu = CpuSeconds();
    const uint64_t requests = slurm_.requests;
    std::this_thread::sleep_for(kIdle);
    const auto seconds = static_cast<double>(kIdle.count());
    figures_["idle_cpu_percent"] = (CpuSeconds() - cpu) / seconds * 100;
    figures_["idle_slurm_requests_per_second"] =
        static_cast<double>(slurm_.requests - requests) / seconds;
    figures_["idle_resident_mib"] = ResidentMiB();
    figures_["descriptors"] = CountEntries("/proc/self/fd");
    figures_["threads"] = CountEntries("/proc/self/task");
  }

  void Save(Other& wardens, std::chrono::milliseconds late, const std::string& name) {
    wardens.Tell(fmt::format("{}", late.count()));
    wardens.Hear();
    const double cpu = CpuSeconds();
    const uint64_t commits = g_commits;
    const uint64_t requests = slurm_.requests;
    const auto begin = Clock::now();
    {
      // Each as a request of REST, of which so many are served at a time.
      constexpr uint32_t kRequests = 32;
      std::vector<std::jthread> threads;
      for (uint32_t i = 0; i < kRequests; ++i)
        threads.emplace_back([this, i] {
          for (uint32_t job = i; job < shape_.jobs; job += kRequests)
            Must(controller_->Save(kFirstJob + job, Wish{.reason = Reason::kSave}));
        });
    }
    const ordered_json saved = wardens.Hear();
    AwaitRunning();
    figures_[name + "_seconds"] = SecondsSince(begin);
    figures_[name + "_cpu_seconds"] = CpuSeconds() - cpu;
    figures_[name + "_slurm_requests"] = slurm_.requests - requests;
    std::this_thread::sleep_for(std::chrono::seconds(2));  // what is written later
    figures_[name + "_commits"] = g_commits - commits;
    for (const auto& [key, value] : saved.items()) figures_[name + "_" + key] = value;
  }

  const Shape shape_;
  const std::string path_;
  Metrics metrics_;
  QuietSlurm slurm_;
  FakeAuthenticator authenticator_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<Controller> controller_;
  std::unique_ptr<WardenService> service_;
  ordered_json figures_;
};

// Every connection is a descriptor.
void RaiseDescriptorLimit(uint64_t needed) {
  rlimit limit = {};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < needed)
    Die(Error(Code::kUnsupported,
              fmt::format("{} descriptors are needed, and RLIMIT_NOFILE is at most {} here", needed,
                          limit.rlim_max)));
}

ordered_json MeasureShape(const std::string& text, const std::string& parent) {
  std::string directory = parent + "/coordinator_bench.XXXXXX";
  if (::mkdtemp(directory.data()) == nullptr) Die(Error::FromErrno("mkdtemp " + directory, errno));
  fmt::print(stderr, "bench: {}\n", text);
  Other coordinator({"--coordinator", directory, "--shape", text});
  const ordered_json figures = coordinator.Hear();
  std::filesystem::remove_all(directory);
  return figures;
}

std::vector<Figure> ToFigures(const std::string& shape, const ordered_json& measured) {
  const auto figure = [&](const char* name, const char* key, double limit, const char* unit,
                          std::optional<double> target = 1) {
    return Figure{.name = name,
                  .ours = measured.at(key),
                  .theirs = limit,
                  .unit = unit,
                  .target = target,
                  .ours_command = fmt::format("coordinator_bench --shape {}: {}", shape, key),
                  .theirs_command = "what it may cost"};
  };
  if (shape == "1x1000")
    return {figure("1,000 pods of a job: last Prepared to Commit / 50 ms", "late_commit_max", 0.05,
                   "s"),
            figure("the same, all pods having prepared at once / 50 ms", "together_commit_max",
                   0.05, "s", std::nullopt)};
  if (shape != "10000x1") return {};
  return {figure("10,000 idle wardens: memory / 1 GiB", "idle_resident_mib", 1024, "MiB"),
          figure("10,000 idle wardens: CPU / 5% of a core", "idle_cpu_percent", 5, "%"),
          figure("a restart with 10,000 jobs / 1 s", "restart_seconds", 1, "s")};
}

void PrintGrowth(const std::vector<std::string>& shapes, const std::vector<ordered_json>& all) {
  fmt::print("| |");
  for (const std::string& shape : shapes) fmt::print(" {} |", shape);
  fmt::print("\n|---|");
  for (size_t i = 0; i < shapes.size(); ++i) fmt::print("---|");
  fmt::print("\n");
  std::vector<std::string> keys;
  for (const ordered_json& measured : all)
    for (const auto& [key, value] : measured.items())
      if (!std::ranges::contains(keys, key)) keys.push_back(key);
  for (const std::string& key : keys) {
    fmt::print("| {} |", key);
    for (const ordered_json& measured : all)
      fmt::print(" {} |", measured.contains(key)
                              ? fmt::format("{:.4g}", measured.at(key).get<double>())
                              : "");
    fmt::print("\n");
  }
}

}  // namespace
}  // namespace holdfast::bench

int main(int argc, char** argv) {
  using namespace holdfast::bench;
  bool json = false;
  size_t unused = 0;
  std::vector<std::string> shapes;
  std::string directory = "/var/tmp", wardens, coordinator;
  OptionParser parser("The coordinator with many jobs and many nodes.", json, unused);
  parser.add_option("--shape", shapes, "JOBSxPODS: so many jobs of so many pods each")
      ->allow_extra_args(false);
  parser.add_option("directory", directory, "on a disk, for the journal");
  parser.add_option("--wardens", wardens)->group("");
  parser.add_option("--coordinator", coordinator)->group("");
  parser.ParseOrExit(argc, argv);
  if (shapes.empty()) shapes = {"1x10", "1x100", "1x1000", "10x1", "100x1", "1000x1", "10000x1"};
  const Shape shape = ParseShape(shapes.front());
  RaiseDescriptorLimit(uint64_t{shape.jobs} * shape.pods + 100);
  if (!wardens.empty()) {
    BeWardens(wardens, shape);
    return 0;
  }
  if (!coordinator.empty()) {
    std::cout << Measurement(shape, coordinator).Run(coordinator + "/log") << std::endl;
    std::_Exit(0);
  }
  std::vector<ordered_json> all;
  std::vector<Figure> figures;
  for (const std::string& text : shapes) {
    all.push_back(MeasureShape(text, directory));
    for (Figure& figure : ToFigures(text, all.back())) figures.push_back(std::move(figure));
  }
  if (!json) PrintGrowth(shapes, all);
  Print(figures, json);
}
