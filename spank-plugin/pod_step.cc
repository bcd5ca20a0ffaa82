// A new task of the pod step, still root, between Slurm's fork and exec. It will become
// `holdfast-batch --task`, the user's process; beside it the warden is started, root, and
// connected with it by a socket. The warden outlives this function; Slurm has not yet put the task
// into its cgroups, so the warden waits, by a pipe that closes when the task executes its program.
//
// Who the job belongs to, and which pod of it this is, comes from Slurm, not from the task's
// environment. A user who starts such a step by hand gets what the job has anyway.

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/files.h"
#include "base/numbers.h"
#include "base/process.h"
#include "pod/batch.h"
#include "pod/warden_environment.h"
#include "spank-plugin/plugin.h"

namespace holdfast::spank {
namespace {

constexpr int kWardenLinkFd = 3;
constexpr int kWardenExecFd = 4;

template <typename... Values>
Status GetItem(spank_t spank, spank_item_t item, const char* what, Values... values) {
  const spank_err_t error = spank_get_item(spank, item, values...);
  if (error == ESPANK_SUCCESS) return {};
  return Fail(Code::kInternal,
              std::string("asking Slurm for ") + what + ": " + spank_strerror(error));
}

// Empty if there is no such variable.
Result<std::string> TextIn(spank_t spank, const char* variable) {
  char text[32] = "";
  const spank_err_t error = spank_getenv(spank, variable, text, sizeof text);
  if (error == ESPANK_SUCCESS || error == ESPANK_ENV_NOEXIST) return std::string(text);
  return Fail(Code::kInvalid, std::string(variable) + ": " + spank_strerror(error));
}

// Slurm tells slurmstepd the count for batch steps alone (S_SLURM_RESTART_COUNT is 0 in any other),
// so it comes by way of the batch step's environment. The user could change it, and gains nothing:
// the coordinator compares it with Slurm's record.
//
// So does what sbatch was told of a signal before the time limit, which Slurm tells nobody.
//
// 0 if there is no such variable: SLURM_RESTART_COUNT comes with the second start.
Result<uint32_t> NumberIn(spank_t spank, const char* variable) {
  HOLDFAST_TRY(const std::string text, TextIn(spank, variable));
  if (text.empty()) return 0U;
  const auto number = ParseNumber<uint32_t>(text);
  if (!number) return Fail(Code::kInvalid, std::string(variable) + " is not a number");
  return *number;
}

Result<pod::WardenEnvironment> DescribeTask(spank_t spank, const Site& site,
                                            const JobOptions& options) {
  pod::WardenEnvironment environment{.config_path = site.config,
                                     .options = options,
                                     .task_pid = ::getpid(),
                                     .exec_fd = kWardenExecFd,
                                     .link_fd = kWardenLinkFd};
  HOLDFAST_CHECK(GetItem(spank, S_JOB_ID, "the job's id", &environment.job_id));
  HOLDFAST_TRY(environment.restart_count, NumberIn(spank, "SLURM_RESTART_COUNT"));
  HOLDFAST_TRY(environment.warning_seconds, NumberIn(spank, pod::kWarningVariable));
  HOLDFAST_TRY(environment.submitted, TextIn(spank, pod::kSubmittedVariable));
  // Not SLURM_CLUSTER_NAME, which a job may have inherited from one of another cluster.
  const slurm_conf_t* const conf = SlurmConfiguration();
  if (conf == nullptr || conf->cluster_name == nullptr)
    return Fail(Code::kInternal, "slurmstepd does not say which cluster this is");
  environment.cluster = conf->cluster_name;
  int slot = 0;
  HOLDFAST_CHECK(GetItem(spank, S_TASK_GLOBAL_ID, "the task's number", &environment.pod));
  HOLDFAST_CHECK(GetItem(spank, S_JOB_TOTAL_TASK_COUNT, "the number of tasks", &environment.pods));
  HOLDFAST_CHECK(GetItem(spank, S_TASK_ID, "the task's place on the node", &slot));
  HOLDFAST_CHECK(
      GetItem(spank, S_JOB_LOCAL_TASK_COUNT, "the node's number of tasks", &environment.slots));
  environment.slot = static_cast<uint32_t>(slot);
  HOLDFAST_CHECK(GetItem(spank, S_JOB_UID, "the user", &environment.owner.uid));
  HOLDFAST_CHECK(GetItem(spank, S_JOB_GID, "the group", &environment.owner.gid));
  gid_t* groups = nullptr;
  int count = 0;
  HOLDFAST_CHECK(GetItem(spank, S_JOB_SUPPLEMENTARY_GIDS, "the groups", &groups, &count));
  environment.owner.groups.assign(groups, groups + count);
  // slurmstepd's own environment, not the task's: the NodeName it was started for.
  const char* const node = ::getenv("SLURMD_NODENAME");
  if (node == nullptr || *node == '\0')
    return Fail(Code::kInternal, "slurmstepd does not say which node this is");
  environment.node = node;
  return environment;
}

}  // namespace

bool IsPodStep(spank_t spank) {
  char marker[2];
  const spank_err_t error = spank_getenv(spank, pod::kPodStepVariable, marker, sizeof marker);
  return error == ESPANK_SUCCESS || error == ESPANK_NOSPACE;
}

Status StartWarden(spank_t spank, const Site& site, const JobOptions& options) {
  HOLDFAST_TRY(const pod::WardenEnvironment environment, DescribeTask(spank, site, options));
  HOLDFAST_TRY(auto link, MakeSocketPair(SOCK_STREAM));
  HOLDFAST_TRY(Pipe executed, MakePipe());
  HOLDFAST_TRY(const UniqueFd null, OpenFile("/dev/null", O_RDWR));

  SpawnOptions spawn{.argv = {site.libexec + "/holdfast-warden"},
                     .env = pod::ToStrings(environment),
                     .cwd = "/",
                     .fds = {{null.get(), 0},
                             {null.get(), 1},
                             {null.get(), 2},
                             {link.second.get(), kWardenLinkFd},
                             {executed.read_end.get(), kWardenExecFd}},
                     .new_session = true,
                     .kill_with_parent = false};
  for (std::string& variable : pod::SiteVariables()) spawn.env->push_back(std::move(variable));
  spawn.env->push_back("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
  auto warden = Process::Spawn(spawn);
  if (!warden) return std::unexpected(std::move(warden).error().Wrap("starting the warden"));

  // The task's own end stays open through exec (and clear of stdio, which Slurm connects after
  // this); the pipe's end closes by it.
  const int task_end = ::fcntl(link.first.get(), F_DUPFD, kWardenExecFd + 1);
  if (task_end < 0) return FailErrno("passing the task its socket");
  if (const spank_err_t error =
          spank_setenv(spank, pod::kTaskFdVariable, std::to_string(task_end).c_str(), 1);
      error != ESPANK_SUCCESS)
    return Fail(Code::kInternal,
                std::string("passing the task its socket: ") + spank_strerror(error));
  [[maybe_unused]] const int kept_until_exec = executed.write_end.Release();
  // It ends with the pod, and is in Slurm's cgroups, which outlive this process.
  [[maybe_unused]] const pid_t pid = warden->Release();
  return {};
}

}  // namespace holdfast::spank
