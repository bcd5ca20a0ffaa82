// Slurm, as far as the coordinator needs it. The real one (libslurm_client.cc) speaks to slurmctld
// as the coordinator's user, who must be a Slurm operator. Calls block, and may be made from any
// thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "coordinator/evacuations.h"
#include "coordinator/event.h"

namespace holdfast::coordinator {

struct Cluster {
  std::string name;  // by which its jobs' checkpoints are told from those of others
  uid_t slurm_user;  // who may see everything, beside root
};

// A user who has more rights than others.
struct SlurmUser {
  enum class Level { kNone, kOperator, kAdministrator };
  std::string name;
  Level level = Level::kNone;
  std::vector<std::string> coordinates;  // accounts
};

class SlurmClient {
 public:
  virtual ~SlurmClient() = default;
  // A job that slurmctld does not know is State::kGone. kUnavailable if slurmctld does not answer.
  virtual Result<Record> Load(uint32_t job_id) = 0;
  virtual Result<std::vector<Record>> LoadMany(const std::vector<uint32_t>& job_ids) = 0;
  // As LoadMany, for what is asked again and again: costs little while nothing changes in Slurm,
  // and a preempt_time may be seen some seconds late.
  virtual Result<std::vector<Record>> Poll(const std::vector<uint32_t>& job_ids) {
    return LoadMany(job_ids);
  }
  // Takes a running job, or one that was preempted or timed out to its end, off its nodes and back
  // into the queue. Success, and no effect, on any other: a cancelled one is not brought back. A
  // job that Slurm is preempting is told to leave, and Slurm requeues it: then `hold` has no
  // effect. A job that was submitted with --no-requeue is requeued, too: its user asked for
  // --checkpoint. Of another start of the job than this one it has no effect.
  virtual Status Requeue(uint32_t job_id, const coordinator::Requeue& how) = 0;
  virtual Status Apply(uint32_t job_id, const Amend& amend) = 0;
  // Ends a job for good; success, and no effect, if it has ended.
  virtual Status Cancel(uint32_t job_id) = 0;
  // In the job's Comment, after what its user has there (MergeComment).
  virtual Status SetComment(uint32_t job_id, const std::string& text) = 0;
  // All nodes.
  virtual Result<std::vector<NodeRecord>> LoadNodes() = 0;
  // The node gets no new jobs, for this reason; success, and no effect, if it gets none already.
  // kNotFound: Slurm has no such node. kDenied: Slurm lets administrators do this, not operators.
  virtual Status Drain(const std::string& node, const std::string& reason) = 0;
  // From Slurm's database; none where there is no database.
  virtual Result<std::vector<SlurmUser>> LoadUsers() = 0;
  // From slurmctld, each time.
  virtual Result<Cluster> LoadCluster() = 0;
};

// A job's comment with our text in it, in place of what was ours before; an empty text takes it
// away. Only administrators could set AdminComment, and the coordinator is an operator.
std::string MergeComment(const std::string& present, const std::string& text);

// libslurm, with /etc/slurm/slurm.conf or wherever SLURM_CONF says. Ends the process if there is no
// valid configuration, as every Slurm program does.
std::unique_ptr<SlurmClient> MakeLibslurmClient();

}  // namespace holdfast::coordinator
