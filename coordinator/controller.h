// Joins the pure state machine (state.h) to the world: streams of wardens, Slurm, the journal,
// timers, people. One mutex orders all events; Slurm is asked by one thread outside of it, so that
// a slow slurmctld never holds up a warden. Thread-safe.
#pragma once

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
#include "coordinator/journal.h"
#include "coordinator/slurm_client.h"

namespace holdfast::coordinator {

// The stream to one pod's warden. Neither call blocks.
class WardenLink {
 public:
  virtual ~WardenLink() = default;
  virtual void Send(const v1::ToWarden& message) = 0;
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
  };
  // Both must outlive it.
  Controller(Options options, Journal& journal, SlurmClient& slurm);
  ~Controller();

  // Takes up the journal's jobs and starts working.
  Status Start();
  // Lets go of everything; jobs run on. Links that close from now on are not taken for lost.
  void Stop();

  // A warden whose Hello has been verified. On an error it is to be refused with that message.
  Status Attach(const v1::Hello& hello, std::shared_ptr<WardenLink> link);
  void Receive(const v1::Hello& hello, const WardenLink* link, const v1::FromWarden& message);
  void Detach(const v1::Hello& hello, const WardenLink* link);

  std::vector<Job> List();
  // Ended jobs whose checkpoints are no longer to be kept, but for those that a job is being
  // restored from which has none of its own yet.
  std::vector<Job> Expired();
  // Checkpoints of the job were removed.
  Status NoteRemoved(uint32_t job_id, const Removed& removed);
  const Policy& policy() const { return options_.policy; }
  std::optional<Job> Find(uint32_t job_id);
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
  using Time = std::chrono::steady_clock::time_point;

  // With the mutex held: one step of the job, made durable, then acted upon.
  Status Post(uint32_t job_id, decltype(Event::body) body, uint32_t pod = 0);
  void Perform(const Job& job, const Action& action);
  // With the mutex held: `call` runs in the Slurm thread, without it.
  void Enqueue(std::function<void()> call);
  void AskSlurm(uint32_t job_id);
  void PollSlurm();
  void PollNodes();
  // With the mutex held: the node's jobs are to leave it.
  std::vector<uint32_t> BeginEvacuation(const Evacuation& evacuation);
  // With the mutex held: by libslurm, or by a warden on the node, who is root there.
  void EnqueueDrain(const Evacuation& evacuation);
  std::shared_ptr<WardenLink> LinkOn(const std::string& node) const;
  void OnSpotNotice(const v1::Hello& hello, const v1::Notice& notice);
  Job& AddJob(const v1::Hello& hello);
  uint32_t ChooseVni(uint32_t job_id) const;
  void RunTimers();
  void RunSlurm();

  const Options options_;
  Policy policy_;  // of the options; what jobs have met with is added to it
  Journal& journal_;
  SlurmClient& slurm_;

  std::mutex mutex_;
  std::condition_variable timers_changed_;
  std::condition_variable tasks_changed_;
  std::condition_variable jobs_changed_;
  bool stopping_ = false;
  std::map<uint32_t, Job> jobs_;
  std::map<uint32_t, std::string> unreadable_;  // rows of the journal, with what is wrong
  std::map<Key, std::shared_ptr<WardenLink>> links_;
  std::map<std::pair<uint32_t, TimerKind>, Time> timers_;
  Time next_poll_;
  std::deque<std::function<void()>> tasks_;
  std::set<uint32_t> asked_;  // a look-up is queued
  bool polling_ = false;      // one of all jobs is
  Evacuations evacuations_;
  bool polling_nodes_ = false;
  std::thread timer_thread_;
  std::thread slurm_thread_;
};

}  // namespace holdfast::coordinator
