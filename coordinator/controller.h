// Joins the pure state machine (state.h) to the world: streams of wardens, Slurm, the journal,
// timers, people. One mutex orders all events. Slurm is asked and the journal written by threads
// outside of it (slurm_lanes.h, journal_writer.h), so that neither ever holds up a warden: what a
// step has to say is kept until the step is durable. Thread-safe.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/result.h"
#include "coordinator/evacuations.h"
#include "coordinator/event.h"
#include "coordinator/job.h"
#include "coordinator/journal_writer.h"
#include "coordinator/metrics.h"
#include "coordinator/pace.h"
#include "coordinator/slurm_client.h"
#include "coordinator/slurm_lanes.h"
#include "coordinator/timers.h"

namespace holdfast::coordinator {

// The stream to one pod's warden. Neither call blocks.
class WardenLink {
 public:
  virtual ~WardenLink() = default;
  virtual void Send(std::shared_ptr<const v1::ToWarden> message) = 0;
  // The stream ends; Detach follows from its own thread.
  virtual void Close() = 0;
};

class Controller {
 public:
  struct Options {
    Policy policy;
    std::chrono::milliseconds poll_interval{2000};
    std::chrono::hours remember_ended{24 * 30};
    std::string evacuate_reason;  // evacuations.h
    JournalWriter::Options writing;
  };
  // All must outlive it.
  Controller(Options options, Journal& journal, SlurmClient& slurm, Metrics& metrics);
  ~Controller();

  // Goes by other times and limits from now on; what is under way keeps those that it began with.
  // Of `options`, what is about the journal stays as it was.
  void Reload(const Options& options);
  // Takes up the journal's jobs and starts working.
  Status Start();
  // Lets go of everything; jobs run on. Links that close from now on are not taken for lost.
  void Stop();

  // A warden whose Hello has been verified. On an error it is to be refused with that message.
  Status Attach(const v1::Hello& hello, std::shared_ptr<WardenLink> link);
  void Receive(const v1::Hello& hello, const WardenLink* link, const v1::FromWarden& message);
  // Somebody could not be let in because of what is missing here (Slurm, munged). Whoever is missed
  // meanwhile may be one of those.
  void NoteShut();
  void Detach(const v1::Hello& hello, const WardenLink* link);

  // Those after that id that `wanted` says, in the order of their ids, at most `limit`.
  std::vector<Job> List(const std::function<bool(const Job&)>& wanted, uint32_t after = 0,
                        size_t limit = SIZE_MAX);
  // Ended jobs whose checkpoints are no longer to be kept, but for those that a job is being
  // restored from which has none of its own yet.
  std::vector<Job> Expired();
  // Checkpoints of the job were removed.
  Status NoteRemoved(uint32_t job_id, const Removed& removed);
  // It is never restored any more, and is to be removed; kConflict if it may be needed.
  Status Unwant(uint32_t job_id, uint32_t checkpoint);
  // Points of all timelines that are durable, after that one, at most `limit`, in the order in
  // which they became so.
  Result<std::vector<NumberedEvent>> EventsAfter(int64_t number, unsigned limit) {
    return journal_.EventsAfter(number, limit);
  }
  Result<int64_t> LastEvent() { return journal_.LastEvent(); }
  // Nodes that are being emptied, with why and until when.
  std::vector<Evacuation> Evacuated();
  Policy policy();
  // Whether there is that job, and it is so.
  bool Is(uint32_t job_id, const std::function<bool(const Job&)>& so);
  std::optional<Job> Find(uint32_t job_id);
  std::optional<Job> Find(ArrayTask array);
  // What the job has been through; of its timeline the newest `limit` points.
  Result<History> HistoryOf(uint32_t job_id, unsigned limit) {
    return writer_.HistoryOf(job_id, limit);
  }
  // Whether the journal can be written; if not, all goes on.
  JournalHealth journal_health() { return writer_.health(); }
  // Tells the metrics what there is at the moment.
  void Measure();
  // Begins a checkpoint and returns its number; kNotFound or kConflict otherwise.
  Result<uint32_t> Save(uint32_t job_id, Wish wish);
  Status ResumeJob(uint32_t job_id, const Resume& resume);
  // Drains the node, saves the jobs that have a pod there and requeues them off it. Returns the
  // jobs; an error if the node cannot be drained, and then nothing has happened.
  Result<std::vector<uint32_t>> Evacuate(Evacuation evacuation);
  // Blocks until the checkpoint is committed or given up, or the time is over; returns what is
  // known of it. If the job is to be held afterwards, until it is, so that it can be resumed at
  // once.
  Result<Checkpoint> Await(uint32_t job_id, uint32_t number, std::chrono::milliseconds timeout);

 private:
  using Key = std::pair<uint32_t, uint32_t>;  // job, pod
  using Time = Timers::Time;
  // What a step of a job has to say, until it may be said.
  struct Unsaid {
    JournalWriter::Ticket ticket;
    uint32_t job_id;
    std::vector<std::function<void()>> words;
  };

  // With the mutex held: one step of the job; what it says is said when the step is durable.
  Status Post(uint32_t job_id, decltype(Event::body) body, uint32_t pod = 0);
  // Until all that has been posted of the job is durable, and said: for people, who go away then.
  void AwaitSaid(std::unique_lock<std::mutex>& lock, uint32_t job_id);
  // With the mutex held: does what concerns nobody outside, and returns how the rest is done.
  std::vector<std::function<void()>> Perform(const Job& job, const std::vector<Action>& actions);
  std::function<void()> Perform(const Job& job, const Action& action);
  // From the journal's writer.
  void OnWritten(JournalWriter::Ticket ticket);
  void AskSlurm(uint32_t job_id, Lane lane);
  void LookUp(Lane lane);
  void PostRecords(const std::vector<Record>& records);
  void PollSlurm();
  void PollNodes();
  // With the mutex held: the node's jobs are to leave it.
  std::vector<uint32_t> BeginEvacuation(const Evacuation& evacuation);
  // With the mutex held: by libslurm, or by a warden on the node, who is root there.
  void EnqueueDrain(const Evacuation& evacuation);
  std::shared_ptr<WardenLink> LinkOn(const std::string& node) const;
  void OnSpotNotice(const v1::Hello& hello, const v1::Notice& notice);
  uint32_t FreeVni(uint32_t job_id) const;
  Job& AddJob(const v1::Hello& hello);
  void CloseLinks(uint32_t job_id);  // of wardens of an earlier job with that id
  void RemoveJob(uint32_t job_id);
  void ArmTimer(const Timers::Key& key, std::chrono::milliseconds after);
  // When what is due may be; for most timers that is now.
  Time WhenMay(const Timers::Key& due, Time now);
  void RunTimers();

  Options options_;
  Policy policy_;  // of the options; what jobs have met with is added to it
  Journal& journal_;
  SlurmClient& slurm_;
  Metrics& metrics_;

  std::mutex mutex_;
  std::condition_variable timers_changed_;
  std::condition_variable jobs_changed_;
  std::condition_variable unsaid_changed_;
  bool stopping_ = false;
  std::map<uint32_t, Job> jobs_;
  std::set<uint32_t> vnis_;                     // of jobs_, the first of each
  uint32_t first_job_ = 0;                      // Journal::FirstJob
  std::map<uint32_t, std::string> unreadable_;  // rows of the journal, with what is wrong
  std::map<Key, std::shared_ptr<WardenLink>> links_;
  std::deque<Unsaid> unsaid_;
  std::map<uint32_t, unsigned> unsaid_of_;  // how many of unsaid_ are the job's
  Timers timers_;
  Pace pace_;
  Time next_poll_;
  std::optional<Time> shut_;                 // NoteShut, last
  std::array<std::set<uint32_t>, 2> asked_;  // to be looked up, by lane
  bool polling_ = false;                     // one of all jobs is queued
  Evacuations evacuations_;
  bool polling_nodes_ = false;
  std::thread timer_thread_;
  SlurmLanes lanes_;
  JournalWriter writer_;
};

}  // namespace holdfast::coordinator
