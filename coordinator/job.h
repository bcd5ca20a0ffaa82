// What the coordinator knows of one job. Values only: state.cc changes them, rest_json.cc shows
// them.
//
// A Job is two halves. Durable is what another process must know to go on: the journal keeps it as
// one message (protocol/journal.proto), written and read whole by job_codec.h. Live is what wardens
// and Slurm tell again; a new process begins with none of it (Revive).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/planning.h"
#include "protocol/holdfast.pb.h"
#include "protocol/job_options.h"

namespace holdfast::v1 {

// Protobuf has none; for the defaulted one of Start.
bool operator==(const Ended& a, const Ended& b);

}  // namespace holdfast::v1

namespace holdfast::coordinator {

// Where a job is in its life. Persisted by number in the journal: do not change.
enum class Stage : int {
  kGathering = 0,  // the wardens of this start are coming
  kPreparing = 1,  // pods are being created or restored; nothing runs yet
  kStarting = 2,   // all are ready and have been told to run
  kRunning = 3,
  kFreezing = 4,     // pods are being saved, each for itself
  kCommitting = 5,   // all are saved; pod 0 writes the manifest
  kSettling = 6,     // the verdict is out: resume, release or abort
  kLeaving = 7,      // being requeued, until Slurm says it is pending
  kWaiting = 8,      // pending in Slurm
  kHeld = 9,         // pending and held, by Holdfast
  kEnding = 10,      // its wardens have been told to go
  kEnded = 11,       // no longer in Slurm's hands
  kPrecopying = 12,  // memory is stored ahead of the freeze; all pods run
};
const char* StageName(Stage stage);
// Wardens are there, or are expected to be.
bool IsActive(Stage stage);

// Why a checkpoint is taken or a job leaves its nodes. Persisted by number: do not change.
enum class Reason : int {
  kNone = 0,
  kInterval = 1,
  kPreemption = 2,
  kSpot = 3,      // the cloud takes a node back
  kEvacuate = 4,  // somebody empties a node
  kSave = 5,
  kMigrate = 6,
  kRequeued = 7,  // by Slurm, which lost a node, or seldom by an administrator
  kFailure = 8,   // a part of the job was lost
  kStart = 9,     // it could not be started there
  kRestore = 10,  // it could not be restored there
  kHold = 11,
  kTimeLimit = 12,  // the job's own is near
};
// The name in the REST API and in logs.
const char* ReasonName(Reason reason);
// For people, after "because".
const char* ReasonWords(Reason reason);
// kNone for a name this version does not know.
Reason ReasonFromName(std::string_view name);

// One checkpoint, in flight or in the job's history.
struct Checkpoint {
  uint32_t number = 0;
  Reason reason = Reason::kNone;
  bool stop = false;                  // the job leaves its nodes afterwards
  bool hold = false;                  // and is held
  bool second_try = false;            // of a preemption whose first checkpoint failed
  std::vector<std::string> excluded;  // nodes, for the next start
  int64_t deadline_unix_ms = 0;
  int64_t ran_ns = 0;    // how long the job had run since it was last saved or started; 0: unknown
  int64_t begun_ns = 0;  // when what caused it was noticed; unix time, as all of these
  int64_t precopied_ns = 0;  // its pods had run until then, and were told to freeze; 0: at once
  int64_t prepared_ns = 0;   // all pods saved
  int64_t committed_ns = 0;  // 0: it does not exist
  int64_t settled_ns = 0;    // all pods go on or are gone
  int64_t frozen_ns = 0;     // longest time that a pod was frozen until it was saved
  uint64_t raw_bytes = 0;
  uint64_t stored_bytes = 0;
  uint32_t processes = 0;
  v1::Settle::How how = v1::Settle::RESUME;  // while settling
  std::string error;                         // why it failed
  uint32_t nodes = 0;                        // that it is to be on afterwards; 0: as many as now
  std::string code;                          // of the error: CodeName of base/result.h

  bool operator==(const Checkpoint&) const = default;
};

// One way from nodes to nodes.
struct Move {
  uint32_t number = 0;
  uint32_t checkpoint = 0;
  Reason reason = Reason::kNone;
  std::vector<std::string> from;
  std::vector<std::string> to;
  int64_t left_ns = 0;      // its pods were released
  int64_t requeued_ns = 0;  // Slurm had it pending
  int64_t chosen_ns = 0;    // all wardens on the new nodes had said Hello
  int64_t restored_ns = 0;
  int64_t running_ns = 0;

  bool operator==(const Move&) const = default;
};

// What somebody wants done with a running job.
struct Wish {
  Reason reason = Reason::kNone;
  bool stop = false;
  bool hold = false;
  bool second_try = false;
  std::vector<std::string> excluded;  // nodes, for the next start
  int64_t begun_ns = 0;
  int64_t deadline_unix_ms = 0;
  uint32_t nodes = 0;  // that it is to be on afterwards; 0: as many as now

  bool operator==(const Wish&) const = default;
};

// Why a job may be broken; Slurm has been asked.
struct Suspicion {
  std::string why;
  std::vector<std::string> nodes;  // whose wardens were away then
  bool silence = false;            // nothing is known but that a warden has not been heard of

  bool operator==(const Suspicion&) const = default;
};

// Slurm is ending this start: its processes have had SIGTERM, and get SIGKILL after KillWait.
struct Eviction {
  bool requeued = false;   // the job is in the queue again; otherwise it has ended as PREEMPTED
  bool dead_node = false;  // Slurm thinks that nothing is left of it on its nodes

  bool operator==(const Eviction&) const = default;
};

// One start of the job by Slurm: begins with its first Hello, and is over when the next one begins.
struct Start {
  uint32_t restart_count = 0;      // Slurm's
  std::vector<std::string> nodes;  // by pod; empty until its warden has come
  uint32_t restore_job = 0;        // what it was told to restore; 0: fresh
  uint32_t restore_checkpoint = 0;
  bool preemption_seen = false;  // it is being, or has been, dealt with
  bool refused = false;          // ending, because it cannot go on
  std::optional<Wish> wish;      // to be done once it runs
  std::optional<Suspicion> suspicion;
  // The script's end, if a lost node, or Slurm, may turn out to be its cause.
  std::optional<v1::Ended> doubted_end;
  std::optional<Eviction> eviction;
  bool ended =
      false;         // its script has, by itself: should Slurm start it again, that is another run
  std::string note;  // why its script starts over, for want of a checkpoint; for its stderr
  bool unmarking = false;  // it leaves at once, so that Slurm's mark of a grace time is taken off

  bool operator==(const Start&) const = default;
};

// What the user wants restored next; until the job runs again.
struct Request {
  bool from_start = false;
  uint32_t checkpoint = 0;  // this one, not the newest
  uint32_t nodes = 0;       // on so many; 0: as many as Slurm has it ask for

  bool operator==(const Request&) const = default;
};

// The way off its nodes, until the next start.
struct Departure {
  bool hold = false;     // leave for a hold
  bool hurry = false;    // make it eligible at once
  bool release = false;  // from a hold, until Slurm says that it is
  bool holding = false;  // until Slurm says that it is held
  bool marked = false;   // in the queue it still has Slurm's mark of a grace time (Record::marked)

  bool operator==(const Departure&) const = default;
};

struct Exclusions {
  std::vector<std::string> next;  // for its next start, by us
  std::vector<std::string> set;   // what we last wrote into Slurm's record
  std::vector<std::string> user;  // what the user had there
  // That lack what its processes need, as far as is known, until it begins anew.
  std::vector<std::string> unfit;
  bool setting = false;  // until Slurm's record shows what we last wrote

  bool operator==(const Exclusions&) const = default;
};

// Of a job that has ended: what becomes of its checkpoints.
struct Aftermath {
  bool ended_well = false;    // by exit code 0 of its script, no node being missed
  uint64_t kept_seconds = 0;  // since it ended, as far as counted
  bool removed = false;       // nothing of it is left in storage

  bool operator==(const Aftermath&) const = default;
};

// What users know a task of a job array by: ARRAY_TASK. Its job has an id of its own.
struct ArrayTask {
  uint32_t job = 0;  // the array's
  uint32_t task = 0;

  bool operator==(const ArrayTask&) const = default;
};

// One for each start, in turns: the network of the start before may still be there, on a node whose
// warden was killed, for as long as the kernel tries to end connections of processes that are gone;
// and what it then sends is not to reach the job.
inline constexpr uint32_t kVnisOfAJob = 4;

struct Durable {
  uint32_t id = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  Stage stage = Stage::kGathering;
  JobOptions options;
  uint32_t vni = 0;                    // the first of kVnisOfAJob
  std::vector<std::string> hostnames;  // by pod, from the job's first start on
  bool started = false;                // processes of it have run
  uint32_t first_checkpoint = 1;       // lower numbers belong to an earlier job with this id
  uint32_t next_checkpoint = 1;
  std::vector<uint32_t> saved;  // committed and kept
  std::vector<uint32_t> bad;    // of these, what turned out to be damaged
  uint32_t attempts = 0;        // starts in a row that came to nothing
  uint32_t moves = 0;
  int64_t unsaved_ns = 0;   // since then it has run and not been saved; unix time, 0: unknown
  std::vector<Cost> costs;  // of its newest committed checkpoints, oldest first
  bool commented = false;   // its comment in Slurm is ours
  std::string last_error;

  Start start;
  Request request;
  Departure departure;
  Exclusions exclusions;
  Aftermath aftermath;
  std::optional<Checkpoint> checkpoint;  // in flight
  std::optional<Move> move;              // under way
  bool saved_once = false;  // it has had a checkpoint: it may never start over by itself
  // Whether Slurm may start its script again, as its user submitted it (--requeue, JobRequeue).
  // Nothing: not asked yet. While it runs Slurm's own record says yes, or a saved job could not
  // come back from PREEMPTED.
  std::optional<bool> requeue;
  uint32_t renewals = 0;           // how often it was saved at its time limit and requeued
  std::optional<ArrayTask> array;  // once Slurm has been asked
  // Which of all jobs with this id it is, as its wardens say (storage/urls/job_name.h).
  std::string cluster;
  std::string submitted;
  uint32_t pod_count = 0;    // that it has, whatever nodes they are on; 0: it has not begun
  uint32_t asked_nodes = 0;  // on how many Slurm was last asked to put them; 0: as submitted
  // A checkpoint of it may have been committed without word of it: storage knows, and pod 0 tells
  // at the next start.
  bool perhaps_saved = false;
  // A start was given up for Slurm's mark (Record::marked) in vain: with PreemptMode=CANCEL it is
  // never taken off.
  bool mark_stays = false;
  std::string account;  // in Slurm, once it has been asked; so too the partition
  std::string partition;
  std::vector<uint32_t> unwanted;  // committed, to be removed from storage, and never restored

  bool operator==(const Durable&) const = default;

  // The newest checkpoint that may be restored, or 0.
  uint32_t newest() const;
  // What storage has, but for what is to be removed from it.
  void FoundSaved(std::vector<uint32_t> found);
  // Takes note of what a committed checkpoint has cost.
  void Learn(const Checkpoint& committed);
};

// Of Slurm's, to a pod.
struct Signal {
  int32_t number = 0;
  v1::SignalScope scope{};

  bool operator==(const Signal&) const = default;
};

struct Pod {
  std::string address;          // of the node
  uint32_t mtu = 0;             // of the node's interface
  uint32_t notice_seconds = 0;  // that the node's cloud gives before it takes it back, or 0
  bool connected = false;
  bool welcomed = false;              // on the stream that it has
  bool awaited = false;               // a new coordinator has not heard of it yet
  bool precopied = false;             // has stored ahead what it can
  bool asks = false;                  // pod 0: before it writes the manifest
  bool stays = false;                 // frozen, for the present round of the commit
  v1::Phase phase = v1::PHASE_FRESH;  // as far as the coordinator knows
  std::optional<v1::Part> part;       // in phase PREPARED
  std::vector<Signal> signals;        // that have come, and may have to be delivered yet
};

// Signals that may mean preemption, until Slurm has said whether they do.
struct PendingNotice {
  int64_t begun_ns = 0;  // when the oldest came, or 0
  uint32_t lookups = 0;  // how often Slurm was asked about it
};

// Of this start, as Slurm's record has it, and what comes of it (time_limit.cc).
struct TimeLimit {
  int64_t start_time = 0;        // unix seconds, as Slurm's
  int64_t end_time = 0;          // 0: there is none, or it is not known yet
  int64_t ran_from_ns = 0;       // its processes run since then; 0: not known
  uint32_t warning_seconds = 0;  // before its end Slurm signals it, or 0
  int64_t save_ns = 0;           // when it is to be saved; 0: it is not to be, or has been
  bool tried = false;            // if that failed, wish.cc knows whether there is time for more
};

struct Live {
  std::vector<Pod> pods;
  PendingNotice notice;
  int64_t since_ns = 0;  // what Slurm said before then is about an earlier start
  // Until then its time is among the policy's `interruptions`; 0: not running.
  int64_t counted_ns = 0;
  std::vector<std::string> listed;  // its --nodelist, once Slurm has been asked
  std::string queued_for;           // Slurm's word for why it is pending, when it last was
  std::string slurm_state;          // Slurm's word for its state, when it was last asked
  TimeLimit limit;
  uint32_t grace_seconds = 0;     // that Slurm leaves it when it takes it off its nodes, or 0
  Plan plan;                      // since it last began to run
  int64_t freeze_by_unix_ms = 0;  // precopying: the earliest that a pod has named, or 0
  bool commit_sent = false;       // to pod 0, on the stream that it still has
  uint32_t commit_round = 0;      // pod 0 has asked for that confirmation; 0: it has not
  bool confirmed = false;         // it may have written the manifest: only its word counts now
  bool requeue_failed = false;    // and must be asked for again
  int64_t vacated_s = 0;          // its nodes are known to be rid of it since then; 0: they are not
  uint32_t awaited_start = 0;     // Slurm has begun it; its wardens have not come yet
  int64_t end_asked_ns = 0;       // Slurm was asked whether the script's end is its doing, or 0
  bool forbidding = false;        // its script has ended: Slurm is told not to start it again
  bool suspended = false;         // by Slurm: nobody of it can answer, and no time passes for it
  std::chrono::milliseconds stage_limit{0};  // how long the stage may take; 0: as long as it does
};

struct Job : Durable, Live {
  const std::vector<std::string>& nodes() const { return start.nodes; }
  bool any_connected() const;
  // Or a new coordinator has not heard of it yet.
  bool any_may_live() const;
  bool all_connected() const;
  // Nodes whose wardens were there, or have had their time to come back after a restart of the
  // coordinator, and are not.
  std::vector<std::string> lost_nodes() const;
  bool all_run() const;  // every pod is there and runs
  // A --nodelist has all nodes that the job must be on, or more than it needs, to choose from.
  bool must_be_on(const std::string& node) const;
  bool may_be_renewed() const;
  bool can_save() const;  // they do, and Slurm lets them
  bool all_in(v1::Phase phase) const;
  uint32_t vni_of_start() const { return vni + start.restart_count % kVnisOfAJob; }
};

// "restoring" and the like: what a person wants to know of the stage.
const char* StateOf(const Job& job);

// "pod 2 on n3"; "pod 2" if it has never come.
std::string PodName(const Job& job, uint32_t pod);

// Those of `more` that are not among `nodes` yet.
void AddNodes(std::vector<std::string>& nodes, const std::vector<std::string>& more);

// A job as a new process takes it up: as many pods as its start has nodes, none of them heard of.
Job Revive(Durable durable);

}  // namespace holdfast::coordinator
