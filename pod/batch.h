// What the plugin and holdfast-batch tell each other through a job's environment, beside the
// warden's (pod/warden_environment.h), and the coordinator by how the batch step ends. None of it
// reaches the job's script.
#pragma once

namespace holdfast::pod {

// Set by sbatch when Slurm would have emptied the job's output file at its start, and the plugin
// made it append: to "t" if the user said so, and Slurm would tell the script, otherwise to
// "truncate". Slurm passes on names that begin like this, whatever --export
// says.
inline constexpr const char* kOpenModeVariable = "SLURM_HOLDFAST_OPEN_MODE";

// Set by sbatch if the job has a --signal: how many seconds before its time limit Slurm sends it.
inline constexpr const char* kWarningVariable = "SLURM_HOLDFAST_WARNING";

// Set by sbatch: when the job was submitted (storage/urls/job_name.h). It stays with the job
// however often Slurm starts it, which gives it a new SubmitTime each time.
inline constexpr const char* kSubmittedVariable = "SLURM_HOLDFAST_SUBMITTED";

// Set by holdfast-batch for the pod step and so marks it; the name of the abstract socket where
// holdfast-batch waits for the task of pod 0.
inline constexpr const char* kPodStepVariable = "HOLDFAST_POD_STEP";

// Set by the plugin for holdfast-batch: a socket where it reads what slurmstepd has to say about
// the job, and tells the plugin there, by this byte, that the job ran out of memory and failed.
inline constexpr const char* kStepdFdVariable = "HOLDFAST_STEPD_FD";
inline constexpr char kOutOfMemory = 'm';

// Set by the plugin for a task of the pod step: its end of pod/task_link.h.
inline constexpr const char* kTaskFdVariable = "HOLDFAST_TASK_FD";

// What the batch step ends with if the job's processes were lost before the script had ended, and
// nobody took the job away for it: EX_TEMPFAIL of sysexits(3). The coordinator knows by it that the
// script has not failed.
inline constexpr int kProcessesLost = 75;

}  // namespace holdfast::pod
