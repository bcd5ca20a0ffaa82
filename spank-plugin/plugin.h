// The plugin's parts, one file for each kind of process that Slurm loads it into. dispatch.cc calls
// them; each says what it does and returns a Status for dispatch.cc to report.
#pragma once

extern "C" {
#include <slurm/slurm.h>
#include <slurm/spank.h>
}

#include <string>

#include "base/result.h"
#include "protocol/job_options.h"

namespace holdfast::spank {

// What plugstack.conf says after the plugin's name.
struct Site {
  std::string libexec = HOLDFAST_LIBEXEC;              // libexec=
  std::string config = "/etc/holdfast/holdfast.yaml";  // config=
};
Result<Site> ParseSite(int argc, char** argv);

// site.cc: slurm.conf as this process has read it, which SPANK does not offer; null if this Slurm
// hides it.
const slurm_conf_t* SlurmConfiguration();

// submit.cc: in sbatch, salloc and srun, for whoever submits.
//
// Before options are read: shows sbatch's HOLDFAST_* variables to Slurm as its own, so that it
// ranks them as it ranks those, above #SBATCH lines and below the command line. kInvalid names the
// variable.
Status PublishEnvironment();
// After all options are read: refuses what cannot work, and arranges that a requeued job goes on
// writing to its output.
Status CheckSubmission(const JobOptions& options);

// batch_step.cc: in slurmstepd of the batch step, as the user, before the script is executed: puts
// holdfast-batch in front of it.
Status SuperviseBatchStep(spank_t spank, const Site& site);

// batch_step.cc: in slurmstepd of the batch step, itself. What it says about the job ("CANCELLED AT
// ... DUE TO PREEMPTION") goes to the job's stderr. Of a job that is saved and goes on that would
// be a lie, so while its task lives, holdfast-batch gets it and decides. Before the task is forked,
// after that, and when it has ended:
Status PrepareMessages(spank_t spank);
Status RedirectMessages();
// Whether holdfast-batch has said that the job failed for want of memory.
Result<bool> RestoreMessages();
// Then the job is to end as OUT_OF_MEMORY. Slurm goes by the batch step's cgroup, where nothing of
// the job is; so it is told in slurmstepd's stead, just before slurmstepd tells that its task has
// failed, which then changes nothing any more.
Status CompleteOutOfMemory(spank_t spank);

// pod_step.cc: in slurmstepd of the pod step, in the new task, as root: starts the warden.
Status StartWarden(spank_t spank, const Site& site, const JobOptions& options);
// Whether this task belongs to a pod step.
bool IsPodStep(spank_t spank);

}  // namespace holdfast::spank
