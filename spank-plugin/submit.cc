// In sbatch, salloc and srun.
//
// A requeued job must go on writing where it stopped, so its output is opened for appending
// whenever Slurm starts it. Slurm would otherwise truncate it, before anything of Holdfast runs.
// On the job's first start holdfast-batch empties the file as Slurm would have, told by
// kOpenModeVariable. What the job's --signal says, which the nodes are not told, goes the same way,
// and so does when it was submitted, by which it is told from a job that had its id before.

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>
extern "C" {
#include <slurm/slurm.h>
}

#include <string_view>

#include "pod/batch.h"
#include "spank-plugin/plugin.h"
#include "storage/urls/urls.h"

namespace holdfast::spank {
namespace {

// What SPANK does not offer, but cli_filter plugins use: sbatch's options by their names. Slurm
// exports these symbols (src/common/slurm_opt.h, `opt` in src/sbatch/opt.c); SPANK itself looks up
// sbatch's functions so.
class SbatchOptions {
 public:
  SbatchOptions()
      : options_(::dlsym(RTLD_DEFAULT, "opt")),
        is_set_(reinterpret_cast<IsSet*>(::dlsym(RTLD_DEFAULT, "slurm_option_isset"))),
        get_(reinterpret_cast<Get*>(::dlsym(RTLD_DEFAULT, "slurm_option_get"))),
        set_(reinterpret_cast<Set*>(::dlsym(RTLD_DEFAULT, "slurm_option_set"))) {}

  bool available() const { return options_ && is_set_ && get_ && set_; }
  bool IsGiven(const char* name) const { return is_set_(options_, name); }
  std::string Value(const char* name) const {
    const char* const value = get_(options_, name);  // allocated by Slurm; sbatch soon ends
    return value ? value : "";
  }
  Status Change(const char* name, const char* value) const {
    if (set_(options_, name, value, false) == SLURM_SUCCESS) return {};
    return Fail(Code::kUnsupported, std::string("this sbatch did not take --") + name);
  }

 private:
  using IsSet = bool(void*, const char*);
  using Get = char*(void*, const char*);
  using Set = int(void*, const char*, const char*, bool);

  void* options_;
  IsSet* is_set_;
  Get* get_;
  Set* set_;
};

bool IsSbatch() { return std::string_view(program_invocation_short_name) == "sbatch"; }

// Slurm hands a job's options to the commands in it through the environment: an srun in a
// checkpointed job has them without its user's doing. A job that sbatch submits in there is another
// job, and does not.
bool g_inherited = false;

// The name under which Slurm looks for a SPANK option in the environment (_opt_env_name and
// spank_process_env_options in src/common/spank.c).
std::string SlurmVariable(const JobOption& option) {
  std::string name = std::string("SLURM_SPANK__SLURM_SPANK_OPTION_holdfast_") + option.name;
  for (char& c : name)
    if (c == '-') c = '_';
  return name;
}

// Whether Slurm would empty the job's output file at its start.
bool TruncatesOutput(const SbatchOptions& sbatch) {
  if (sbatch.IsGiven("open-mode")) return sbatch.Value("open-mode").starts_with('t');
  const slurm_conf_t* const conf = SlurmConfiguration();
  return conf == nullptr || conf->job_file_append == 0;
}

// How long before the job's time limit Slurm signals it.
std::string WarningSeconds(const SbatchOptions& sbatch) {
  const std::string signal = sbatch.Value("signal");  // "B:USR1@120"
  const size_t at = signal.find('@');
  return at == std::string::npos ? "60" : signal.substr(at + 1);  // 60: sbatch(1)
}

Status FindOrigin(const std::string& directory, const CheckpointName& from) {
  const SbatchOptions sbatch;
  const slurm_conf_t* const conf = SlurmConfiguration();
  // With --clusters it may be another's that takes the job.
  if (!sbatch.available() || sbatch.IsGiven("clusters") || !conf || !conf->cluster_name) return {};
  return storage::FindCheckpoint(directory, conf->cluster_name, from.job, from.checkpoint);
}

// Called once per component of a job: more than one is a heterogeneous job.
Status CheckBatchJob(bool enabled) {
  static int components = 0;
  static bool any_enabled = false;
  any_enabled |= enabled;
  if (++components > 1 && any_enabled)
    return Fail(Code::kUnsupported,
                "--checkpoint: heterogeneous jobs cannot be saved; submit the job without "
                "components, or without --checkpoint");
  if (!enabled) return {};
  const SbatchOptions sbatch;
  if (!sbatch.available())
    return Fail(Code::kUnsupported,
                "--checkpoint: this sbatch hides its options from plugins; Slurm 23.02 and later "
                "do not");
  if (TruncatesOutput(sbatch))
    ::setenv(pod::kOpenModeVariable, sbatch.IsGiven("open-mode") ? "t" : "truncate", 1);
  ::setenv(pod::kSubmittedVariable, storage::SubmissionTime(::time(nullptr)).c_str(), 1);
  if (sbatch.IsGiven("signal")) ::setenv(pod::kWarningVariable, WarningSeconds(sbatch).c_str(), 1);
  return sbatch.Change("open-mode", "append");
}

}  // namespace

Status PublishEnvironment() {
  for (const JobOption& option : JobOptionTable()) {
    const std::string variable = SlurmVariable(option);
    g_inherited |= ::getenv(variable.c_str()) != nullptr;
    if (!IsSbatch()) continue;
    const std::string ours = option.environment();
    const char* const value = ::getenv(ours.c_str());
    if (value == nullptr || *value == '\0') {
      ::unsetenv(variable.c_str());
      continue;
    }
    // Slurm would name the option, which whoever set the variable may not know.
    JobOptions ignored;
    if (Status accepted = SetOption(option, value, ignored); !accepted)
      return std::unexpected(std::move(accepted).error().Wrap(ours));
    ::setenv(variable.c_str(), value, 1);
  }
  if (IsSbatch())
    // Of the job, if any, in which this sbatch runs: the new one has been started never yet, and
    // Slurm leaves the count of another in its environment until it has been restarted itself.
    for (const char* stale : {pod::kOpenModeVariable, pod::kWarningVariable,
                              pod::kSubmittedVariable, "SLURM_RESTART_COUNT"})
      ::unsetenv(stale);
  return {};
}

Status CheckSubmission(const JobOptions& options) {
  HOLDFAST_CHECK(CheckOptions(options));
  if (IsSbatch()) {
    // Where the site has it by default only the nodes know; there it is found out at the start.
    if (const auto& from = options.restore_from; from && !options.directory.empty())
      HOLDFAST_CHECK(FindOrigin(options.directory, *from).transform_error([](Error error) {
        return std::move(error).Wrap("--restore-from");
      }));
    return CheckBatchJob(options.enabled());
  }
  if (!options.enabled() || g_inherited) return {};
  return Fail(Code::kInvalid, "--checkpoint: only batch jobs can be requeued: use sbatch");
}

}  // namespace holdfast::spank
