#include "pod/steps/client.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>

#include "base/files.h"
#include "base/numbers.h"
#include "pod/frame_socket.h"
#include "pod/job_socket.h"
#include "pod/pod_directory.h"
#include "pod/signal_fd.h"
#include "pod/steps/environment.h"
#include "pod/steps/file_pattern.h"
#include "pod/steps/layout.h"
#include "pod/steps/mpi/kinds.h"
#include "pod/steps/programs.h"
#include "pod/steps/resolve.h"
#include "pod/steps/say.h"
#include "pod/steps/site_programs.h"
#include "pod/steps/step_run.h"
#include "pod/steps/values.h"

namespace holdfast::pod {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::seconds;

constexpr seconds kPeerPatience{30};
// After so long srun says for the first time that it waits.
constexpr seconds kSilentWait{60};

class Client {
 public:
  Client(Options options, std::vector<std::string> environment, std::vector<Peer> peers,
         uint32_t job, MpiOrder mpi)
      : options_(std::move(options)),
        environment_(std::move(environment)),
        peers_(std::move(peers)),
        job_(job),
        mpi_(std::move(mpi)) {
    std::error_code error;
    here_ = std::filesystem::current_path(error);
    directory_ = options_.directory.empty() ? here_ : Absolute(options_.directory);
  }

  std::expected<int, Complaint> Run(std::vector<std::string>& remarks) {
    auto request =
        Resolve(options_, {.job = job_, .nodes = static_cast<uint32_t>(peers_.size())}, remarks);
    for (const std::string& remark : remarks) Say(remark);
    if (!request) return std::unexpected(request.error());
    const std::string path(Variable(environment_, "PATH").value_or(""));
    std::expected<Programs, Complaint> programs;
    if (options_.multiple_programs) {
      programs = ManyPrograms(options_.command[0], request->tasks, directory_, path);
    } else {
      options_.command[0] = FindProgram(options_.command[0], directory_, path);
      programs = OneProgram(options_.command, request->tasks);
    }
    if (!programs) return std::unexpected(programs.error());
    distribution_ = request->distribution;
    if (auto asked = Ask(*request); !asked) return std::unexpected(asked.error());
    return Start(*programs);
  }

 private:
  std::string Absolute(const std::string& path) const {
    return path.starts_with('/') ? path : here_ + "/" + path;
  }

  // The allocator's answer, and its connection, whose end is the step's.
  std::expected<void, Complaint> Ask(const StepRequest& request) {
    const std::string unable =
        "error: Unable to create step for job " + std::to_string(job_) + ": ";
    auto connection = ConnectTo(peers_[0], kPeerPatience);
    if (!connection) return Complain(unable + connection.error().message());
    allocator_.emplace(std::move(*connection));
    allocator_->Queue(RshFrame::kAskStep, Serialize(request));
    const auto begun = Clock::now();
    auto next_word = begun + kSilentWait;
    std::optional<std::string> waits_for;
    bool said = false;
    while (true) {
      allocator_->Pump();
      while (const auto answer = allocator_->Next()) {
        if (answer->type == RshFrame::kStepNever) return Complain(unable + answer->data);
        if (answer->type == RshFrame::kStepWaits) waits_for = answer->data;
        if (answer->type != RshFrame::kStepMade) continue;
        auto grant = ParseStepGrant(answer->data);
        if (!grant || grant->nodes.empty()) return Complain(unable + "the answer is malformed");
        grant_ = std::move(*grant);
        if (waits_for)
          Say("Step created for StepId=" + std::to_string(job_) + "." +
              std::to_string(grant_.step));
        return {};
      }
      if (allocator_->closed()) return Complain(unable + "the job's first pod does not answer");
      const auto now = Clock::now();
      if (waits_for && options_.immediate_seconds &&
          now - begun >= seconds(*options_.immediate_seconds))
        return Complain(unable + *waits_for);
      if (waits_for && now >= next_word) {
        Say("Job " + std::to_string(job_) + " step creation " +
            (said ? "still disabled" : "temporarily disabled") + ", retrying (" + *waits_for + ")");
        said = true;
        next_word = now + kSilentWait;
      }
      pollfd polled{.fd = allocator_->fd(), .events = allocator_->events(), .revents = 0};
      ::poll(&polled, 1, 200);
    }
  }

  PatternValues Values(size_t node, uint32_t task) const {
    const auto text = [&](const char* name) {
      return std::string(Variable(environment_, name).value_or(""));
    };
    return {
        .job = job_,
        .step = grant_.step,
        .task = task,
        .node = static_cast<uint32_t>(node),
        .host = grant_.nodes[node].host,
        .user = text("SLURM_JOB_USER"),
        .job_name = options_.program_name.empty() ? text("SLURM_JOB_NAME") : options_.program_name,
        .array_job =
            text("SLURM_ARRAY_JOB_ID").empty() ? std::to_string(job_) : text("SLURM_ARRAY_JOB_ID"),
        .array_task = text("SLURM_ARRAY_TASK_ID")};
  }

  // The names of a node's files, or nothing for tasks that use srun's own.
  std::vector<std::string> FilesOf(size_t node, const std::string& pattern, bool of_daemon) const {
    std::vector<std::string> files;
    for (const uint32_t task : grant_.nodes[node].tasks)
      files.push_back(of_daemon ? Absolute(ExpandPattern(pattern, Values(node, task))) : "");
    return files;
  }

  // Whatever begins so, in Slurm.
  static bool MeansAll(const std::string& pattern) {
    return pattern.empty() || Lower(pattern).starts_with("all");
  }
  static bool MeansNone(const std::string& pattern) { return Lower(pattern).starts_with("none"); }
  std::optional<uint32_t> OnlyTask(const std::string& pattern) const {
    const auto number = ParseNumber<uint32_t>(pattern);
    size_t tasks = 0;
    for (const NodeShare& node : grant_.nodes) tasks += node.tasks.size();
    return number && *number < tasks ? number : std::nullopt;
  }

  // Of an output that srun itself writes.
  std::expected<Sink, Complaint> OpenSink(const std::string& pattern, int number,
                                          const char* what) const {
    Sink sink{.file = {}, .number = number, .only_task = {}};
    if (MeansAll(pattern)) return sink;
    if (const auto task = OnlyTask(pattern)) {
      sink.only_task = *task;
      return sink;
    }
    sink.number = -1;
    if (MeansNone(pattern) || DiffersByTask(pattern)) return sink;
    auto file = OpenFile(Absolute(ExpandPattern(pattern, Values(0, 0))),
                         O_WRONLY | O_CREAT | O_APPEND | (options_.append ? 0 : O_TRUNC), 0666);
    if (!file)
      return Complain(std::string("error: Could not open ") + what +
                      " file: " + ::strerror(file.error().errno_value()));
    sink.file = std::move(*file);
    return sink;
  }

  std::expected<int, Complaint> Start(const Programs& programs) {
    StepRunOptions run{.job = job_, .grant = grant_, .options = &options_};
    if (auto opened = OpenStreams(run); !opened) return std::unexpected(opened.error());
    if (const auto wait = SlurmSetting("KillWait"))
      run.kill_wait_seconds = ParseCount(*wait).value_or(run.kill_wait_seconds);

    std::vector<FrameSocket> daemons;
    const DaemonOrder common = CommonOrder(programs);
    for (size_t node = 0; node < grant_.nodes.size(); ++node) {
      const NodeShare& share = grant_.nodes[node];
      if (share.pod >= peers_.size()) return Complain("error: the step's nodes are malformed");
      auto connection = ConnectTo(peers_[share.pod], kPeerPatience);
      if (!connection) return Complain("error: " + connection.error().message());
      daemons.emplace_back(std::move(*connection));
      daemons.back().Queue(RshFrame::kRunStep, Serialize(OrderFor(common, node, programs)));
      daemons.back().Pump();
    }
    const auto ended = RunStep(std::move(run), std::move(daemons));
    if (!ended) return Complain("error: " + ended.error().message());
    Leave();
    return *ended;
  }

  // Waits until the allocator has heard of it: the script's next srun finds the nodes free.
  void Leave() {
    allocator_->Queue(RshFrame::kStepOver);
    while (!allocator_->closed()) {
      allocator_->Pump();
      while (allocator_->Next()) {
      }
      pollfd polled{.fd = allocator_->fd(), .events = allocator_->events(), .revents = 0};
      if (!allocator_->closed()) ::poll(&polled, 1, -1);
    }
  }

  std::expected<void, Complaint> OpenStreams(StepRunOptions& run) const {
    auto output = OpenSink(options_.output, STDOUT_FILENO, "stdout");
    if (!output) return std::unexpected(output.error());
    run.output = std::move(*output);
    if (options_.error.empty() && !MeansAll(options_.output)) {
      // Where the output goes.
      if (run.output.file.valid()) {
        run.error.number = run.output.file.get();
      } else {
        run.error.number = run.output.only_task ? STDERR_FILENO : -1;
        run.error.only_task = run.output.only_task;
      }
    } else {
      auto error = OpenSink(options_.error, STDERR_FILENO, "stderr");
      if (!error) return std::unexpected(error.error());
      run.error = std::move(*error);
    }
    const std::string& input = options_.input;
    if (MeansAll(input)) return {};
    if (MeansNone(input)) {
      // An empty file: every task sees the end at once.
      auto null = OpenFile("/dev/null", O_RDONLY);
      if (null) run.input = std::move(*null);
    } else if (const auto task = OnlyTask(input)) {
      run.input_task = *task;
    } else if (DiffersByTask(input)) {
      run.reads_input = false;
    } else {
      auto file = OpenFile(Absolute(ExpandPattern(input, Values(0, 0))), O_RDONLY);
      if (!file)
        return Complain(std::string("error: Could not open stdin file: ") +
                        ::strerror(file.error().errno_value()));
      run.input = std::move(*file);
    }
    return {};
  }

  DaemonOrder CommonOrder(const Programs& programs) const {
    DaemonOrder order{.job = job_, .step = grant_.step, .programs = programs.argv};
    const auto step_nodes = static_cast<uint32_t>(grant_.nodes.size());
    order.common.umask = ::umask(0);
    ::umask(order.common.umask);
    const std::string& what = options_.export_what.value_or("ALL");
    std::vector<std::string> environment = Export(environment_, what);
    const bool all = Lower(what).starts_with("all");
    AddStepVariables(environment, {.job = job_,
                                   .grant = grant_,
                                   .distribution = ResolveDistribution(
                                       distribution_,
                                       static_cast<uint32_t>(programs.of_task.size()), step_nodes),
                                   .plane_size = options_.plane_size,
                                   .cpus_per_task = options_.cpus_per_task.value.value_or(0),
                                   .threads_per_core = options_.threads_per_core,
                                   .mpi = options_.mpi,
                                   .name = options_.program_name,
                                   .labels = options_.label,
                                   .overcommit = options_.overcommit,
                                   .srun_address = OwnAddress(),
                                   .umask = order.common.umask,
                                   .verbosity = options_.verbosity - (options_.quiet ? 1 : 0),
                                   .exports_all = all});
    order.common.environment = std::move(environment);
    order.common.cwd = directory_;
    for (int resource = 0; resource < RLIM_NLIMITS; ++resource) {
      rlimit limit;
      if (!Propagates(resource) ||
          ::getrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0)
        continue;
      order.common.limits.push_back(
          {.resource = resource, .soft = limit.rlim_cur, .hard = limit.rlim_max});
    }
    order.append = options_.append;
    order.line_buffered = !options_.unbuffered;
    order.mpi = Placed(mpi_, grant_);
    return order;
  }

  bool Propagates(int resource) const {
    for (const std::string& name : SplitAt(options_.propagate, ','))
      if (Lower(name) == "all" || LimitNamed(name) == resource) return true;
    return false;
  }

  std::string OwnAddress() const {
    char name[256] = "";
    ::gethostname(name, sizeof name - 1);
    const auto own = std::ranges::find(peers_, std::string(name), &Peer::hostname);
    return own == peers_.end() ? peers_[0].address : own->address;
  }

  DaemonOrder OrderFor(DaemonOrder order, size_t node, const Programs& programs) const {
    const NodeShare& share = grant_.nodes[node];
    order.node_index = static_cast<uint32_t>(node);
    order.cpus_on_node = static_cast<uint32_t>(share.cpus.size());
    order.host = share.host;
    order.tasks = share.tasks;
    for (const uint32_t task : share.tasks) order.program_of.push_back(programs.of_task[task]);
    order.binding = Bind(options_, share);
    const bool output = DiffersByTask(options_.output), error = DiffersByTask(options_.error);
    order.input = FilesOf(node, options_.input, DiffersByTask(options_.input));
    order.output = FilesOf(node, options_.output, output);
    order.error = options_.error.empty() ? order.output : FilesOf(node, options_.error, error);
    if (options_.broadcasts && !options_.multiple_programs) {
      order.copy_from = options_.command[0];
      order.copy_to = options_.broadcast.empty()
                          ? "/tmp/slurm_bcast_" + std::to_string(job_) + "." +
                                std::to_string(grant_.step) + "_" + share.host
                          : Absolute(options_.broadcast);
      for (auto& argv : order.programs) argv[0] = order.copy_to;
    }
    return order;
  }

  Options options_;
  std::vector<std::string> environment_;
  std::vector<Peer> peers_;
  uint32_t job_;
  MpiOrder mpi_;
  std::string here_, directory_;
  Distribution distribution_ = Distribution::kUnset;
  std::optional<FrameSocket> allocator_;
  StepGrant grant_;
};

std::vector<std::string> Environment() {
  std::vector<std::string> environment;
  for (char** entry = environ; *entry; ++entry) environment.emplace_back(*entry);
  return environment;
}

Result<std::vector<Peer>> ReadPeers() {
  HOLDFAST_TRY(const std::string text, ReadFile(kPeersPath));
  return ParsePeers(text);
}

std::expected<int, Complaint> Run(const std::vector<std::string>& arguments) {
  const std::vector<std::string> environment = Environment();
  std::vector<std::string> remarks;
  auto options = ParseOptions(arguments, environment, remarks);
  if (!options) return std::unexpected(options.error());
  const auto job = ParseNumber<uint32_t>(Variable(environment, "SLURM_JOB_ID").value_or(""));
  // Another job's, or none of Slurm's: not ours to do.
  if (options->asks_version || options->asks_help || !job ||
      (options->job && *options->job != *job))
    return BecomeSite("srun", kSiteSrunPath, arguments);
  if (options->mpi == "list") {
    std::fputs(MpiKinds().c_str(), stdout);
    return EXIT_SUCCESS;
  }
  const auto mpi = MpiOffered(options->mpi);
  if (!mpi) return std::unexpected(UnknownMpi(options->mpi));
  if (options->command.empty()) return Complain("fatal: No command given to execute.");
  auto peers = ReadPeers();
  if (!peers) return Complain("error: " + peers.error().message());
  return Client(std::move(*options), environment, std::move(*peers), *job, *mpi).Run(remarks);
}

}  // namespace

int RunSrun(const std::vector<std::string>& arguments) {
  const auto ended = Run(arguments);
  if (ended) return *ended;
  Say(ended.error());
  return ended.error().exit_code;
}

}  // namespace holdfast::pod
