// The controller's errands: what a step of a job has done by others, and what Slurm is asked
// anyway.
#include <algorithm>
#include <thread>
#include <utility>

#include "base/log.h"
#include "coordinator/controller.h"
#include "coordinator/kin.h"

namespace holdfast::coordinator {
namespace {

// slurmctld did not answer: ask again after this.
constexpr std::chrono::seconds kSlurmPause{1};
// So many records are taken in at a time; in between, wardens have their turn.
constexpr size_t kRecordsAtOnce = 100;

// Its nodes are about to be taken, or have been: until it waits in the queue again, it loses time.
Lane LaneOf(const Job& job) {
  const bool pressed = job.notice.begun_ns != 0 || job.start.preemption_seen ||
                       (job.checkpoint && job.checkpoint->deadline_unix_ms != 0) ||
                       job.stage == Stage::kLeaving;
  return pressed ? Lane::kUrgent : Lane::kOrdinary;
}

std::string SubjectOf(uint32_t job_id) { return "job " + std::to_string(job_id); }

}  // namespace

std::vector<std::function<void()>> Controller::Perform(const Job& job,
                                                       const std::vector<Action>& actions) {
  std::vector<std::function<void()>> words;
  for (const Action& action : actions)
    if (auto say = Perform(job, action)) words.push_back(std::move(say));
  return words;
}

std::function<void()> Controller::Perform(const Job& job, const Action& action) {
  const uint32_t job_id = job.id;
  const Lane lane = LaneOf(job);
  if (const auto* send = std::get_if<Send>(&action)) {
    // To the stream that the pod has now: on another one it says first how it is.
    const auto link = links_.find({job_id, send->pod});
    if (link == links_.end()) return nullptr;
    return [link = link->second, message = send->message] { link->Send(message); };
  }
  if (const auto* requeue = std::get_if<Requeue>(&action)) {
    return [this, job_id, lane, how = *requeue] {
      lanes_.Push(lane, SubjectOf(job_id), [this, job_id, how] {
        const Status done = slurm_.Requeue(job_id, how);
        if (!done) log::Failure("requeue", done.error(), {{"job", job_id}});
        const std::lock_guard lock(mutex_);
        // The job may have moved on meanwhile: then nobody waits for this.
        (void)Post(job_id, RequeueResult{done ? "" : done.error().message()});
      });
    };
  }
  if (std::holds_alternative<Cancel>(action)) {
    return [this, job_id, lane] {
      lanes_.Push(lane, SubjectOf(job_id), [this, job_id] {
        if (const Status done = slurm_.Cancel(job_id); !done)
          log::Failure("cancel", done.error(), {{"job", job_id}});
      });
    };
  }
  if (const auto* amend = std::get_if<Amend>(&action)) {
    return [this, job_id, lane, change = *amend] {
      lanes_.Push(lane, SubjectOf(job_id), [this, job_id, change] {
        if (const Status done = slurm_.Apply(job_id, change); !done)
          log::Failure("amend", done.error(), {{"job", job_id}});
      });
    };
  }
  if (const auto* find = std::get_if<FindKin>(&action)) {
    return [this, job_id, how = *find] {
      lanes_.Push(Lane::kOrdinary, "nodes", [this, job_id, how] {
        const Result<std::vector<NodeRecord>> records = slurm_.LoadNodes();
        if (!records) return log::Failure("nodes", records.error(), {{"job", job_id}});
        std::vector<std::string> kin = KinOf(how, *records);
        if (kin.empty()) return;
        const std::lock_guard lock(mutex_);
        (void)Post(job_id, Kin{std::move(kin)});
      });
    };
  }
  if (const auto* comment = std::get_if<Comment>(&action)) {
    return [this, job_id, text = comment->text] {
      lanes_.Push(Lane::kOrdinary, SubjectOf(job_id), [this, job_id, text] {
        if (const Status done = slurm_.SetComment(job_id, text); !done)
          log::Failure("comment", done.error(), {{"job", job_id}});
      });
    };
  }
  if (const auto* arm = std::get_if<Arm>(&action)) {
    ArmTimer({job_id, arm->kind}, arm->after);
  } else if (const auto* disarm = std::get_if<Disarm>(&action)) {
    timers_.Disarm({job_id, disarm->kind});
  } else if (std::holds_alternative<Ask>(action)) {
    AskSlurm(job_id, lane);
  } else if (const auto* counted = std::get_if<Count>(&action)) {
    policy_.interruptions.count += counted->more.count;
    policy_.interruptions.node_time += counted->more.node_time;
  } else if (const auto* event = std::get_if<TimelineEvent>(&action)) {
    log::Info(event->name,
              {{"job", job_id}, {"checkpoint", event->checkpoint}, {"detail", event->detail}});
  }
  return nullptr;
}

void Controller::AskSlurm(uint32_t job_id, Lane lane) {
  std::set<uint32_t>& asked = asked_.at(static_cast<size_t>(lane));
  asked.insert(job_id);
  // A look-up that waits takes along all that are asked for until it is made.
  if (asked.size() == 1)
    lanes_.Push(lane, lane == Lane::kUrgent ? "look up first" : "look up",
                [this, lane] { LookUp(lane); });
}

void Controller::LookUp(Lane lane) {
  std::vector<uint32_t> job_ids;
  {
    const std::lock_guard lock(mutex_);
    std::set<uint32_t>& asked = asked_.at(static_cast<size_t>(lane));
    job_ids.assign(asked.begin(), asked.end());
    asked.clear();
  }
  const Result<std::vector<Record>> records = slurm_.LoadMany(job_ids);
  if (records) return PostRecords(*records);
  log::Failure("slurm", records.error(), {{"job", job_ids.front()}, {"jobs", job_ids.size()}});
  const std::lock_guard lock(mutex_);
  for (const uint32_t job_id : job_ids) ArmTimer({job_id, TimerKind::kAsk}, kSlurmPause);
}

void Controller::PostRecords(const std::vector<Record>& records) {
  for (size_t next = 0; next < records.size();) {
    {
      const std::lock_guard lock(mutex_);
      const size_t end = std::min(next + kRecordsAtOnce, records.size());
      for (; next < end; ++next) (void)Post(records[next].job_id, records[next]);
    }
    std::this_thread::yield();
  }
}

void Controller::PollSlurm() {
  std::vector<uint32_t> job_ids;
  for (const auto& [job_id, job] : jobs_)
    if (job.stage != Stage::kEnded) job_ids.push_back(job_id);
  if (job_ids.empty() || polling_) return;
  polling_ = true;
  lanes_.Push(Lane::kPolling, "poll", [this, job_ids = std::move(job_ids)] {
    const Result<std::vector<Record>> records = slurm_.Poll(job_ids);
    if (records)
      PostRecords(*records);
    else
      log::Failure("poll", records.error());
    const std::lock_guard lock(mutex_);
    polling_ = false;
  });
}

void Controller::ArmTimer(const Timers::Key& key, std::chrono::milliseconds after) {
  const std::optional<Time> next = timers_.next();
  const Time due = std::chrono::steady_clock::now() + after;
  timers_.Arm(key, due);
  if (!next || due < *next) timers_changed_.notify_all();
}

Controller::Time Controller::WhenMay(const Timers::Key& due, Time now) {
  const auto& [job_id, kind] = due;
  const auto found = jobs_.find(job_id);
  if (kind != TimerKind::kInterval || found == jobs_.end()) return now;
  return pace_.WhenMay(found->second.uid, job_id, now);
}

void Controller::RunTimers() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const Time now = std::chrono::steady_clock::now();
    if (now >= next_poll_) {
      next_poll_ = now + options_.poll_interval;
      PollSlurm();
      PollNodes();
    }
    if (const auto due = timers_.TakeDue(now)) {
      const auto [job_id, kind] = *due;
      if (kind == TimerKind::kReconnect && shut_ && now - *shut_ < policy_.reconnect_grace) {
        ArmTimer(*due, policy_.reconnect_grace);
        continue;
      }
      if (const Time when = WhenMay(*due, now); when > now) {
        timers_.Arm(*due, when);
        continue;
      }
      if (const Status posted = Post(job_id, Timer{kind}); !posted)
        log::Failure("timer", posted.error(), {{"job", job_id}});
      continue;
    }
    timers_changed_.wait_until(lock, std::min(next_poll_, timers_.next().value_or(next_poll_)));
  }
}

}  // namespace holdfast::coordinator
