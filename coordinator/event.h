// What happens to a job, and what is to be done about it: input and output of state.h.
#pragma once

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "coordinator/job.h"
#include "pod/batch.h"
#include "protocol/holdfast.pb.h"

namespace holdfast::coordinator {

// A job as Slurm knows it.
struct Record {
  enum class State { kGone, kPending, kRunning, kTerminal };
  State state = State::kGone;
  bool suspended = false;   // of kRunning: Slurm has stopped its processes, its wardens too
  int64_t asked_ns = 0;     // when Slurm was asked
  std::string state_name;   // Slurm's word for it
  int exit_code = 0;        // of kTerminal: the batch step's, or else 0
  int exit_signal = 0;      // that it was ended by, or 0
  bool completing = false;  // still being cleaned up on its nodes
  uint32_t job_id = 0;
  uint32_t restart_count = 0;
  std::optional<ArrayTask> array;
  uid_t uid = 0;
  int64_t start_time = 0;    // unix seconds
  int64_t end_time = 0;      // of a running job, by its time limit; 0: it has none
  int64_t begin_time = 0;    // of a pending job: not before
  int64_t preempt_time = 0;  // or 0
  int64_t leave_by = 0;      // of a running job that is being preempted: when its grace time ends
  bool held = false;
  bool requeued_too_often = false;  // held for that: SchedulerParameters=max_batch_requeue
  std::string queued_for;           // of a pending job: Slurm's word for why
  bool unsatisfiable = false;       // no nodes can ever fit what it asks for
  std::string partition;
  std::string account;
  uint32_t grace_seconds = 0;         // that the partition leaves a preempted job, or 0
  uint32_t kill_wait_seconds = 0;     // between Slurm's SIGTERM and its SIGKILL
  bool requeue = false;               // Slurm would start its script again
  std::vector<std::string> nodes;     // allocated, in Slurm's order
  std::vector<std::string> excluded;  // ExcNodeList
  std::vector<std::string> listed;    // ReqNodeList, of --nodelist
  // What it asks for, while it is pending.
  uint32_t min_nodes = 0;
  uint32_t max_nodes = 0;       // 0: as many as it takes
  uint64_t node_memory_mb = 0;  // --mem; 0: not by node
  uint32_t tasks_per_node = 0;  // 0: not said

  // Slurm has told it to leave within a grace time, and requeues it when its script ends, by itself
  // or not, if that is its partition's or QOS's PreemptMode. This takes the mark off; a requeue
  // that comes before the script's end does not.
  bool marked = false;

  // How long Slurm leaves it, at least.
  uint32_t notice_seconds() const { return std::max(grace_seconds, kill_wait_seconds); }
  // A requeued job may still carry the time of an earlier preemption.
  bool being_preempted() const { return preempt_time != 0 && preempt_time >= start_time; }
  // It has ended, and not because somebody or its time limit wanted it to.
  bool failed() const { return state_name == "FAILED" || state_name == "NODE_FAIL"; }
  // It has ended because its pods were lost, or with them, and nobody was there to requeue it.
  bool lost_its_pods() const {
    return failed() && (exit_code == pod::kProcessesLost || exit_signal == SIGKILL);
  }
  // It has ended, and Slurm may be asked for another start: nobody cancelled it.
  bool may_return() const {
    return state_name == "PREEMPTED" || state_name == "TIMEOUT" || failed();
  }
};

// The stream of a pod's warden broke.
struct Lost {};

// A process restart of the coordinator: wardens must come back.
struct Restarted {};

enum class TimerKind {
  kPhase,      // the stage takes too long
  kReconnect,  // a lost warden has had its time
  kInterval,   // a periodic checkpoint is due
  kNotice,     // look again whether the signal meant preemption
  kRetry,      // save again after a failure
  kAsk,        // look again how far Slurm is
  kLimit,      // the job's time limit comes near
  kEnd,        // no node was lost: the script ended badly by itself
  kKept,       // checkpoints of an ended job have been kept for some more time
};
struct Timer {
  TimerKind kind;
};

// The job's user, or an administrator, wants it released from a hold.
struct Resume {
  std::vector<std::string> excluded;
  uint32_t nodes = 0;       // on so many; 0: as many as before
  uint32_t checkpoint = 0;  // this one, not the newest
  bool from_start = false;  // none
};

// Checkpoints have been removed from storage by somebody who may.
struct Removed {
  std::vector<uint32_t> checkpoints;
  bool all = false;  // and everything else of the job
};

// Its user, or an operator, wants this checkpoint gone.
struct Unwant {
  uint32_t checkpoint = 0;
};

// How the last Requeue action went.
struct RequeueResult {
  std::string error;  // empty: Slurm took it
};

// Nodes that Slurm describes as it does one that was found unfit.
struct Kin {
  std::vector<std::string> nodes;
};

struct Event {
  int64_t unix_ns = 0;
  uint32_t pod = 0;  // whom messages of the protocol come from
  std::variant<v1::Hello, Lost, v1::Ready, v1::Running, v1::Precopied, v1::Prepared, v1::Stored,
               v1::Stays, v1::Committed, v1::Settled, v1::Failed, v1::Notice, v1::Ended, Wish,
               Resume, Record, RequeueResult, Timer, Restarted, Removed, Unwant, Kin>
      body;
};
const char* EventName(const Event& event);

// Times and limits, from the site's settings.
struct Policy {
  bool precopy = false;  // store memory ahead of a freeze that can wait
  uint32_t restore_attempts = 3;
  std::chrono::milliseconds gather_timeout{120'000};
  std::chrono::milliseconds phase_timeout{600'000};
  std::chrono::milliseconds settle_timeout{60'000};
  // Beside the keepalive's ten seconds; a network that is away for shorter than both does no harm.
  std::chrono::milliseconds reconnect_grace{20'000};
  std::chrono::milliseconds restart_grace{45'000};
  std::chrono::milliseconds notice_pause{200};
  uint32_t notice_lookups = 6;
  std::chrono::milliseconds retry_pause{3'000};
  std::chrono::milliseconds ask_pause{200};
  std::chrono::milliseconds forbid_timeout{
      3'000};  // that Slurm may take to note --no-requeue again
  // Until slurmstepd gives up telling an srun that is gone how its tasks ended.
  std::chrono::milliseconds step_end{6'000};
  bool continue_cancelled = true;  // jobs that Slurm has ended as PREEMPTED are requeued
  // Longer than it takes to miss a node that died without a word (the keepalives of
  // warden_service.cc). If none did, pods say sooner that they have ended with the script.
  std::chrono::milliseconds end_doubt{15'000};
  std::chrono::seconds keep_after_failure{7 * 24 * 3600};
  PlanLimits plan;
  Interruptions interruptions;  // of all jobs so far; the caller keeps it up to date
};

struct Send {
  uint32_t pod;
  std::shared_ptr<const v1::ToWarden> message;  // one for all pods that are told the same
};
struct Arm {
  TimerKind kind;
  std::chrono::milliseconds after;
};
struct Disarm {
  TimerKind kind;
};
// Look the job up in Slurm; a Record follows.
struct Ask {};
// Take this start of the job off its nodes, or back from its end as PREEMPTED; a RequeueResult
// follows.
struct Requeue {
  bool hold;
  uint32_t restart_count;
  bool unmark =
      false;  // by the end of its script, so that Slurm takes off its mark (Record::marked)
};
// End it for good, as its user would.
struct Cancel {};
// So many pods on so many nodes: spread.h says what Slurm is asked for then.
struct Spread {
  uint32_t pods = 0;
  uint32_t nodes = 0;   // 0: on as many as the record says, but not on more than there are pods
  uint32_t before = 0;  // on how many the record was made for, if that is another number

  bool operator==(const Spread&) const = default;
};
// Change the job's record.
struct Amend {
  std::optional<std::vector<std::string>> excluded;  // its ExcNodeList
  std::optional<Spread> spread;
  std::optional<bool> requeue;
  bool eligible = false;   // StartTime: now
  int64_t not_before = 0;  // StartTime: that, unix time
  bool hold = false;
  bool release = false;  // from a hold
};
// Look for nodes like `node`, which lacks what the job needs, and unlike those that had it; a Kin
// follows if there are any.
struct FindKin {
  std::string node;
  std::vector<std::string> fit;
};
// The job's comment in Slurm; empty takes it away.
struct Comment {
  std::string text;
};
struct SaveCheckpoint {
  Checkpoint checkpoint;
};
struct SaveMove {
  Move move;
};
// One point of the job's timeline.
struct TimelineEvent {
  std::string name;
  int64_t unix_ns = 0;
  int64_t duration_ns = 0;
  int32_t pod = -1;  // -1: the coordinator's own
  std::string node;
  std::string detail;
  uint32_t checkpoint = 0;
};

// The same among those of all jobs: numbers rise in the order in which they became durable.
struct NumberedEvent {
  int64_t number = 0;
  uint32_t job_id = 0;
  TimelineEvent event;
};

// What a job has been through.
struct History {
  std::vector<Checkpoint> checkpoints;
  std::vector<Move> moves;
  std::vector<TimelineEvent> events;  // oldest first
};

// To be added to the policy's `interruptions`.
struct Count {
  Interruptions more;
};

// What became of a start: its pods are ready to run, or not. Counted (metrics.h) and not kept.
struct StartResult {
  bool restore = false;
  std::optional<Code> failure;
};

using Action = std::variant<Send, Arm, Disarm, Ask, Requeue, Cancel, Amend, FindKin, Comment,
                            SaveCheckpoint, SaveMove, TimelineEvent, Count, StartResult>;

}  // namespace holdfast::coordinator
