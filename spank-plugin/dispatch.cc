// The functions that Slurm calls, each passing the call to the part for this process. The same
// plugin is loaded into sbatch, salloc, srun, slurmd and slurmstepd; a job that does not use the
// options costs a comparison in each hook.

#include <stdlib.h>
#include <unistd.h>
extern "C" {
#include <slurm/slurm.h>
}

#include "spank-plugin/plugin.h"

using namespace holdfast;
using namespace holdfast::spank;

namespace {

// The state of this process: Slurm calls hooks from one thread.
JobOptions g_options;
Site g_site;

// Tells whoever submitted the job.
void Tell(const Error& error) { slurm_error("holdfast: %s", error.message().c_str()); }

// What spank(8) wants to be returned, where Slurm always heeds it.
int Report(const Status& status) {
  if (status) return 0;
  Tell(status.error());
  return -1;
}

// Ends a command that submits, or a task before it is executed. Returning an error is not enough:
// where plugstack.conf says "optional" Slurm goes on, and the job would run unprotected, or start
// over on its own output.
void ReportOrExit(const Status& status) {
  if (status) return;
  Tell(status.error());
  ::_exit(EXIT_FAILURE);
}

int TakeOption(int id, const char* value, int /*remote*/) {
  // An option without its optional argument comes as "(null)" by way of the environment
  // (_option_setenv in Slurm's src/common/spank.c).
  const bool has_value = value != nullptr && std::string_view(value) != "(null)";
  return Report(
      SetOption(JobOptionTable()[static_cast<size_t>(id)], has_value ? value : "", g_options));
}

Status RegisterOptions(spank_t spank) {
  int id = 0;
  for (const JobOption& each : JobOptionTable()) {
    spank_option option = {.name = const_cast<char*>(each.name),
                           .arginfo = const_cast<char*>(each.argument),
                           .usage = const_cast<char*>(each.help),
                           .has_arg = each.argument_optional ? 2 : 1,  // as getopt_long(3) has it
                           .val = id++,
                           .cb = TakeOption};
    if (spank_option_register(spank, &option) != ESPANK_SUCCESS)
      return Fail(Code::kInternal, std::string("registering the option --") + each.name);
  }
  return {};
}

Status Init(spank_t spank, int argc, char** argv) {
  const spank_context_t context = spank_context();
  if (context != S_CTX_LOCAL && context != S_CTX_ALLOCATOR && context != S_CTX_REMOTE) return {};
  HOLDFAST_TRY(g_site, ParseSite(argc, argv));
  if (context != S_CTX_REMOTE) ReportOrExit(PublishEnvironment());
  return RegisterOptions(spank);
}

bool IsBatchStep(spank_t spank) {
  uint32_t step = 0;
  return spank_get_item(spank, S_JOB_STEPID, &step) == ESPANK_SUCCESS && step == SLURM_BATCH_SCRIPT;
}

}  // namespace

extern "C" {

// Declared first, because constants are not visible to others by themselves in C++.
extern const char plugin_name[], plugin_type[];
extern const unsigned int plugin_version, spank_plugin_version;
SPANK_PLUGIN(holdfast, 1)

int slurm_spank_init(spank_t spank, int argc, char** argv) {
  return Report(Init(spank, argc, argv));
}

int slurm_spank_init_post_opt(spank_t spank, int, char**) {
  if (spank_remote(spank) == 0) ReportOrExit(CheckSubmission(g_options));
  return 0;
}

int slurm_spank_user_init(spank_t spank, int, char**) {
  if (g_options.enabled() && IsBatchStep(spank)) return Report(PrepareMessages(spank));
  return 0;
}

int slurm_spank_task_post_fork(spank_t spank, int, char**) {
  if (g_options.enabled() && IsBatchStep(spank)) return Report(RedirectMessages());
  return 0;
}

int slurm_spank_task_exit(spank_t spank, int, char**) {
  if (!g_options.enabled() || !IsBatchStep(spank)) return 0;
  const Result<bool> out_of_memory = RestoreMessages();
  if (!out_of_memory) return Report(std::unexpected(out_of_memory.error()));
  return *out_of_memory ? Report(CompleteOutOfMemory(spank)) : 0;
}

int slurm_spank_task_init_privileged(spank_t spank, int, char**) {
  if (g_options.enabled() && !IsBatchStep(spank) && IsPodStep(spank))
    ReportOrExit(StartWarden(spank, g_site, g_options));
  return 0;
}

int slurm_spank_task_init(spank_t spank, int, char**) {
  if (g_options.enabled() && IsBatchStep(spank)) ReportOrExit(SuperviseBatchStep(spank, g_site));
  return 0;
}

}  // extern "C"
