#include <dlfcn.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "pod/batch.h"
#include "spank-plugin/plugin.h"

namespace holdfast::spank {

Status SuperviseBatchStep(spank_t spank, const Site& site) {
  const std::string program = site.libexec + "/holdfast-batch";
  if (::access(program.c_str(), X_OK) != 0)
    return std::unexpected(Error::Errno(program).Wrap(
        "the job was submitted with --checkpoint, but this node cannot save it: install Holdfast "
        "here"));
  const char* argv[] = {program.c_str()};
  if (const spank_err_t error = spank_prepend_task_argv(spank, 1, argv); error != ESPANK_SUCCESS)
    return Fail(Code::kInternal, std::string("putting holdfast-batch in front of the script: ") +
                                     spank_strerror(error));
  return {};
}

namespace {

UniqueFd g_stepd_reader;  // holdfast-batch's, until it has been forked
UniqueFd g_stepd_writer;
UniqueFd g_job_stderr;  // slurmstepd's, until its task has ended

// SIG_OOM of Slurm's src/common/slurm_protocol_defs.h: what slurmstepd tells slurmctld instead of
// an exit status if the kernel has killed processes of the step (_send_complete_batch_script_msg).
constexpr uint32_t kSlurmOutOfMemory = 253;

}  // namespace

Status PrepareMessages(spank_t spank) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return FailErrno("socketpair");
  g_stepd_reader = UniqueFd(ends[0]);
  g_stepd_writer = UniqueFd(ends[1]);
  // slurmstepd must never wait for holdfast-batch.
  if (::fcntl(ends[1], F_SETFL, O_NONBLOCK) != 0 || ::fcntl(ends[0], F_SETFD, 0) != 0)
    return FailErrno("preparing a socket");
  if (const spank_err_t error =
          spank_setenv(spank, pod::kStepdFdVariable, std::to_string(ends[0]).c_str(), 1);
      error != ESPANK_SUCCESS)
    return Fail(Code::kInternal,
                std::string("passing holdfast-batch its socket: ") + spank_strerror(error));
  return {};
}

Status RedirectMessages() {
  g_stepd_reader.Reset();
  if (!g_stepd_writer.valid()) return {};
  g_job_stderr = UniqueFd(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0));
  if (!g_job_stderr.valid() || ::dup2(g_stepd_writer.get(), STDERR_FILENO) < 0)
    return FailErrno("redirecting slurmstepd's messages");
  g_stepd_writer.Reset();
  return {};
}

Result<bool> RestoreMessages() {
  if (!g_job_stderr.valid()) return false;
  char byte = 0;
  const bool out_of_memory =
      ::recv(STDERR_FILENO, &byte, sizeof byte, MSG_DONTWAIT) == 1 && byte == pod::kOutOfMemory;
  if (::dup2(g_job_stderr.get(), STDERR_FILENO) < 0)
    return FailErrno("restoring slurmstepd's stderr");
  g_job_stderr.Reset();
  return out_of_memory;
}

Status CompleteOutOfMemory(spank_t spank) {
  uint32_t job_id = 0;
  if (spank_get_item(spank, S_JOB_ID, &job_id) != ESPANK_SUCCESS)
    return Fail(Code::kInternal, "asking Slurm for the job's id");
  using Complete = int(uint32_t, uint32_t);
  auto* const complete = reinterpret_cast<Complete*>(::dlsym(RTLD_DEFAULT, "slurm_complete_job"));
  if (complete == nullptr || complete(job_id, kSlurmOutOfMemory) != SLURM_SUCCESS)
    return Fail(
        Code::kUnavailable,
        "the job ran out of memory, and slurmctld could not be told: it will call it FAILED");
  return {};
}

}  // namespace holdfast::spank
