#include "coordinator/controller.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "coordinator/clock.h"
#include "coordinator/job_codec.h"
#include "coordinator/state.h"

namespace holdfast::coordinator {
namespace {

constexpr uint32_t kVniCount = 1U << 24;  // RFC 7348
// slurmctld did not answer: ask again after this.
constexpr std::chrono::seconds kSlurmPause{1};

bool IsNewJob(const Job& known, const v1::Hello& hello) {
  if (hello.phase() != v1::PHASE_FRESH) return false;
  return hello.restart_count() < known.start.restart_count ||
         (known.stage == Stage::kEnded && hello.restart_count() == known.start.restart_count);
}

}  // namespace

Controller::Controller(Options options, Journal& journal, SlurmClient& slurm)
    : options_(std::move(options)),
      policy_(options_.policy),
      journal_(journal),
      slurm_(slurm),
      evacuations_(options_.evacuate_reason) {}

Controller::~Controller() { Stop(); }

Status Controller::Start() {
  HOLDFAST_CHECK(
      journal_.Prune(NowNs() - std::chrono::nanoseconds(options_.remember_ended).count()));
  HOLDFAST_TRY(std::vector<Job> jobs, journal_.Load());
  HOLDFAST_TRY(unreadable_, journal_.Unreadable());
  for (const auto& [job_id, why] : unreadable_)
    log::Failure("journal",
                 Error(Code::kCorrupt, "the journal's row of the job cannot be read: " + why),
                 {{"job", job_id}});
  HOLDFAST_TRY(const Interruptions interruptions, journal_.Interrupted());
  {
    const std::lock_guard lock(mutex_);
    policy_.interruptions = interruptions;
    for (Job& job : jobs) jobs_.emplace(job.id, std::move(job));
    for (const auto& [job_id, job] : jobs_) {
      if (const Status posted = Post(job_id, Restarted{}); !posted)
        log::Failure("restart", posted.error(), {{"job", job_id}});
    }
    next_poll_ = std::chrono::steady_clock::now();
  }
  timer_thread_ = std::thread([this] { RunTimers(); });
  slurm_thread_ = std::thread([this] { RunSlurm(); });
  return {};
}

void Controller::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    timers_changed_.notify_all();
    tasks_changed_.notify_all();
    jobs_changed_.notify_all();
  }
  if (timer_thread_.joinable()) timer_thread_.join();
  if (slurm_thread_.joinable()) slurm_thread_.join();
}

Status Controller::Attach(const v1::Hello& hello, std::shared_ptr<WardenLink> link) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return Fail(Code::kUnavailable, "the coordinator is shutting down");
  const uint32_t job_id = hello.job_id();
  auto found = jobs_.find(job_id);
  if (found != jobs_.end() && IsNewJob(found->second, hello)) {
    log::Info("job-id-reused", {{"job", job_id}});
    HOLDFAST_CHECK(journal_.Forget(job_id));
    jobs_.erase(found);
    std::erase_if(timers_, [job_id](const auto& timer) { return timer.first.first == job_id; });
    found = jobs_.end();
  }
  const bool added = found == jobs_.end();
  if (added) AddJob(hello);
  // The link comes first: the answer to the last Hello goes out from within Post.
  const std::shared_ptr<WardenLink> old =
      std::exchange(links_[{job_id, hello.pod()}], std::move(link));
  const Status posted = Post(job_id, hello, hello.pod());
  if (!posted) {
    if (old)
      links_[{job_id, hello.pod()}] = old;
    else
      links_.erase({job_id, hello.pod()});
    if (added) jobs_.erase(job_id);
    return posted;
  }
  if (old) old->Close();
  // Slurm may have chosen the node before it was drained.
  if (const Evacuation* leaving = evacuations_.Find(hello.node());
      leaving != nullptr && hello.phase() == v1::PHASE_FRESH) {
    if (const Status left = Post(job_id, WishOf(*leaving)); !left)
      log::Failure("evacuate", left.error(), {{"job", job_id}});
  }
  log::Info("attached", {{"job", job_id},
                         {"pod", hello.pod()},
                         {"node", hello.node()},
                         {"phase", v1::Phase_Name(hello.phase())}});
  return {};
}

Job& Controller::AddJob(const v1::Hello& hello) {
  Job job;
  job.id = hello.job_id();
  job.start.restart_count = hello.restart_count();
  job.uid = hello.uid();
  job.gid = hello.gid();
  job.vni = ChooseVni(job.id);
  // A restart of a job that the journal does not know: it never got here, or the journal was lost.
  const Result<uint32_t> first = journal_.FirstJob();
  job.started = hello.restart_count() > 0 && (!first || *first == 0 || job.id <= *first);
  // Nor may one start over of which it is not known how far it has got.
  if (const auto damaged = unreadable_.find(job.id); damaged != unreadable_.end()) {
    job.started = true;
    job.last_error = "the journal's row of the job could not be read: " + damaged->second;
  }
  job.saved_once = job.started;
  // The event that follows refuses options that cannot be read.
  if (const auto options = OptionsOf(hello); options && options->restore_from) {
    const auto names = journal_.HostnamesOf(options->restore_from->job);
    if (names && names->size() == hello.pods()) job.hostnames = *names;
  }
  return jobs_[job.id] = std::move(job);
}

uint32_t Controller::ChooseVni(uint32_t job_id) const {
  uint32_t vni = job_id % kVniCount;
  const auto taken = [this](uint32_t candidate) {
    return std::ranges::any_of(jobs_, [candidate](const auto& entry) {
      return entry.second.stage != Stage::kEnded && entry.second.vni == candidate;
    });
  };
  while (vni == 0 || taken(vni)) vni = (vni + 1) % kVniCount;
  return vni;
}

void Controller::Receive(const v1::Hello& hello, const WardenLink* link,
                         const v1::FromWarden& message) {
  const std::lock_guard lock(mutex_);
  const uint32_t job_id = hello.job_id();
  const uint32_t pod = hello.pod();
  const auto current = links_.find({job_id, pod});
  if (stopping_ || current == links_.end() || current->second.get() != link) return;
  Status posted;
  switch (message.body_case()) {
    case v1::FromWarden::kReady:
      posted = Post(job_id, message.ready(), pod);
      break;
    case v1::FromWarden::kRunning:
      posted = Post(job_id, message.running(), pod);
      break;
    case v1::FromWarden::kPrecopied:
      posted = Post(job_id, message.precopied(), pod);
      break;
    case v1::FromWarden::kPrepared:
      posted = Post(job_id, message.prepared(), pod);
      break;
    case v1::FromWarden::kCommitted:
      posted = Post(job_id, message.committed(), pod);
      break;
    case v1::FromWarden::kSettled:
      posted = Post(job_id, message.settled(), pod);
      break;
    case v1::FromWarden::kFailed:
      posted = Post(job_id, message.failed(), pod);
      break;
    case v1::FromWarden::kNotice:
      if (message.notice().kind() == v1::Notice::SPOT) {
        OnSpotNotice(hello, message.notice());
        break;
      }
      posted = Post(job_id, message.notice(), pod);
      break;
    case v1::FromWarden::kEnded:
      posted = Post(job_id, message.ended(), pod);
      break;
    case v1::FromWarden::kEvent: {
      const v1::Event& event = message.event();
      posted = journal_.Write(jobs_.at(job_id), {TimelineEvent{.name = event.name(),
                                                               .unix_ns = event.unix_ns(),
                                                               .duration_ns = event.duration_ns(),
                                                               .pod = static_cast<int32_t>(pod),
                                                               .node = hello.node(),
                                                               .detail = event.detail(),
                                                               .checkpoint = event.checkpoint()}});
      break;
    }
    default:
      posted = Fail(Code::kInvalid, "a message that does not belong here");
  }
  if (!posted) log::Failure("rejected", posted.error(), {{"job", job_id}, {"pod", pod}});
}

void Controller::Detach(const v1::Hello& hello, const WardenLink* link) {
  const std::lock_guard lock(mutex_);
  const auto current = links_.find({hello.job_id(), hello.pod()});
  if (stopping_ || current == links_.end() || current->second.get() != link) return;
  links_.erase(current);
  log::Info("detached", {{"job", hello.job_id()}, {"pod", hello.pod()}, {"node", hello.node()}});
  if (const Status posted = Post(hello.job_id(), Lost{}, hello.pod()); !posted)
    log::Failure("rejected", posted.error(), {{"job", hello.job_id()}});
}

std::vector<Job> Controller::List() {
  const std::lock_guard lock(mutex_);
  std::vector<Job> jobs;
  for (const auto& [job_id, job] : jobs_) jobs.push_back(job);
  return jobs;
}

std::vector<Job> Controller::Expired() {
  const std::lock_guard lock(mutex_);
  std::set<uint32_t> sources;
  for (const auto& [job_id, job] : jobs_)
    if (IsActive(job.stage) && job.start.restore_job != job_id && job.saved.empty())
      sources.insert(job.start.restore_job);
  std::vector<Job> expired;
  for (const auto& [job_id, job] : jobs_)
    if (KeptFor(job, options_.policy) == std::chrono::seconds(0) && !sources.contains(job_id))
      expired.push_back(job);
  return expired;
}

Status Controller::NoteRemoved(uint32_t job_id, const Removed& removed) {
  const std::lock_guard lock(mutex_);
  return Post(job_id, removed);
}

std::optional<Job> Controller::Find(uint32_t job_id) {
  const std::lock_guard lock(mutex_);
  const auto found = jobs_.find(job_id);
  if (found == jobs_.end()) return std::nullopt;
  return found->second;
}

Result<uint32_t> Controller::Save(uint32_t job_id, Wish wish) {
  const std::lock_guard lock(mutex_);
  wish.begun_ns = NowNs();
  HOLDFAST_CHECK(Post(job_id, std::move(wish)));
  return jobs_.at(job_id).checkpoint->number;
}

Status Controller::ResumeJob(uint32_t job_id, const Resume& resume) {
  const std::lock_guard lock(mutex_);
  return Post(job_id, resume);
}

Result<Checkpoint> Controller::Await(uint32_t job_id, uint32_t number,
                                     std::chrono::milliseconds timeout) {
  {
    std::unique_lock lock(mutex_);
    jobs_changed_.wait_for(lock, timeout, [&] {
      const auto found = jobs_.find(job_id);
      if (stopping_ || found == jobs_.end()) return true;
      const Job& job = found->second;
      if (job.checkpoint && job.checkpoint->number == number)
        return job.checkpoint->committed_ns != 0 && !job.checkpoint->hold;
      return job.stage != Stage::kLeaving || !job.departure.hold;
    });
  }
  HOLDFAST_TRY(const std::vector<Checkpoint> all, journal_.Checkpoints(job_id));
  for (const Checkpoint& checkpoint : all)
    if (checkpoint.number == number) return checkpoint;
  return Fail(Code::kNotFound, fmt::format("job {} has no checkpoint {}", job_id, number));
}

Status Controller::Post(uint32_t job_id, decltype(Event::body) body, uint32_t pod) {
  const auto found = jobs_.find(job_id);
  if (found == jobs_.end()) return Fail(Code::kNotFound, fmt::format("job {} is unknown", job_id));
  Job& job = found->second;
  const Event event{.unix_ns = NowNs(), .pod = pod, .body = std::move(body)};
  const Stage before = job.stage;
  HOLDFAST_TRY(const std::vector<Action> actions, Step(job, event, policy_));
  // Wardens hold what matters, and storage the truth: without a journal the work goes on.
  if (const Status written = journal_.Write(job, actions); !written)
    log::Failure("journal", written.error(), {{"job", job_id}});
  if (job.stage != before)
    log::Info("stage", {{"job", job_id},
                        {"from", StageName(before)},
                        {"to", StageName(job.stage)},
                        {"by", EventName(event)}});
  for (const Action& action : actions) Perform(job, action);
  jobs_changed_.notify_all();
  return {};
}

void Controller::Perform(const Job& job, const Action& action) {
  const uint32_t job_id = job.id;
  if (const auto* send = std::get_if<Send>(&action)) {
    const auto link = links_.find({job_id, send->pod});
    if (link != links_.end()) link->second->Send(send->message);
  } else if (const auto* arm = std::get_if<Arm>(&action)) {
    timers_[{job_id, arm->kind}] = std::chrono::steady_clock::now() + arm->after;
    timers_changed_.notify_all();
  } else if (const auto* disarm = std::get_if<Disarm>(&action)) {
    timers_.erase({job_id, disarm->kind});
  } else if (std::holds_alternative<Ask>(action)) {
    AskSlurm(job_id);
  } else if (const auto* requeue = std::get_if<Requeue>(&action)) {
    Enqueue([this, job_id, how = *requeue] {
      const Status done = slurm_.Requeue(job_id, how);
      if (!done) log::Failure("requeue", done.error(), {{"job", job_id}});
      const std::lock_guard lock(mutex_);
      // The job may have moved on meanwhile: then nobody waits for this.
      (void)Post(job_id, RequeueResult{done ? "" : done.error().message()});
    });
  } else if (std::holds_alternative<Cancel>(action)) {
    Enqueue([this, job_id] {
      if (const Status done = slurm_.Cancel(job_id); !done)
        log::Failure("cancel", done.error(), {{"job", job_id}});
    });
  } else if (const auto* amend = std::get_if<Amend>(&action)) {
    Enqueue([this, job_id, change = *amend] {
      if (const Status done = slurm_.Apply(job_id, change); !done)
        log::Failure("amend", done.error(), {{"job", job_id}});
    });
  } else if (const auto* comment = std::get_if<Comment>(&action)) {
    Enqueue([this, job_id, text = comment->text] {
      if (const Status done = slurm_.SetComment(job_id, text); !done)
        log::Failure("comment", done.error(), {{"job", job_id}});
    });
  } else if (const auto* counted = std::get_if<Count>(&action)) {
    policy_.interruptions.count += counted->more.count;
    policy_.interruptions.node_time += counted->more.node_time;
  } else if (const auto* event = std::get_if<TimelineEvent>(&action)) {
    log::Info(event->name,
              {{"job", job_id}, {"checkpoint", event->checkpoint}, {"detail", event->detail}});
  }
}

void Controller::Enqueue(std::function<void()> call) {
  tasks_.push_back(std::move(call));
  tasks_changed_.notify_one();
}

void Controller::AskSlurm(uint32_t job_id) {
  if (!asked_.insert(job_id).second) return;
  Enqueue([this, job_id] {
    {
      const std::lock_guard lock(mutex_);
      asked_.erase(job_id);
    }
    const Result<Record> record = slurm_.Load(job_id);
    const std::lock_guard lock(mutex_);
    if (record) {
      (void)Post(job_id, *record);
      return;
    }
    log::Failure("slurm", record.error(), {{"job", job_id}});
    timers_[{job_id, TimerKind::kAsk}] = std::chrono::steady_clock::now() + kSlurmPause;
    timers_changed_.notify_all();
  });
}

void Controller::PollSlurm() {
  std::vector<uint32_t> job_ids;
  for (const auto& [job_id, job] : jobs_)
    if (job.stage != Stage::kEnded) job_ids.push_back(job_id);
  if (job_ids.empty() || polling_) return;
  polling_ = true;
  Enqueue([this, job_ids = std::move(job_ids)] {
    const Result<std::vector<Record>> records = slurm_.LoadMany(job_ids);
    const std::lock_guard lock(mutex_);
    polling_ = false;
    if (!records) return log::Failure("poll", records.error());
    for (const Record& record : *records) (void)Post(record.job_id, record);
  });
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
    const auto due =
        std::ranges::find_if(timers_, [now](const auto& timer) { return timer.second <= now; });
    if (due != timers_.end()) {
      const auto [job_id, kind] = due->first;
      timers_.erase(due);
      if (const Status posted = Post(job_id, Timer{kind}); !posted)
        log::Failure("timer", posted.error(), {{"job", job_id}});
      continue;
    }
    Time next = next_poll_;
    for (const auto& [key, time] : timers_) next = std::min(next, time);
    timers_changed_.wait_until(lock, next);
  }
}

void Controller::RunSlurm() {
  std::unique_lock lock(mutex_);
  while (true) {
    tasks_changed_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
    if (stopping_) return;
    const std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    lock.lock();
  }
}

}  // namespace holdfast::coordinator
