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

// RFC 7348 has 24 bits; the four above are for several pods of a job on one node.
constexpr uint32_t kVniCount = 1U << 20;

}  // namespace

Controller::Controller(Options options, Journal& journal, SlurmClient& slurm, Metrics& metrics)
    : options_(std::move(options)),
      policy_(options_.policy),
      journal_(journal),
      slurm_(slurm),
      metrics_(metrics),
      evacuations_(options_.evacuate_reason),
      writer_(options_.writing, journal, metrics,
              [this](JournalWriter::Ticket t) { OnWritten(t); }) {}

Controller::~Controller() { Stop(); }

Policy Controller::policy() {
  const std::lock_guard lock(mutex_);
  return policy_;
}

void Controller::Reload(const Options& options) {
  const std::lock_guard lock(mutex_);
  const Interruptions interruptions = policy_.interruptions;
  policy_ = options.policy;
  policy_.interruptions = interruptions;
  options_.poll_interval = options.poll_interval;
  evacuations_.Watch(options.evacuate_reason);
  next_poll_ = std::chrono::steady_clock::now();
  timers_changed_.notify_all();
}

Status Controller::Start() {
  // A full disk is no reason to leave jobs alone.
  if (const Status pruned =
          journal_.Prune(NowNs() - std::chrono::nanoseconds(options_.remember_ended).count());
      !pruned)
    log::Failure("journal", pruned.error());
  HOLDFAST_TRY(std::vector<Job> jobs, journal_.Load());
  HOLDFAST_TRY(unreadable_, journal_.Unreadable());
  for (const auto& [job_id, why] : unreadable_)
    log::Failure("journal",
                 Error(Code::kCorrupt, "the journal's row of the job cannot be read: " + why),
                 {{"job", job_id}});
  HOLDFAST_TRY(const Interruptions interruptions, journal_.Interrupted());
  HOLDFAST_TRY(first_job_, journal_.FirstJob());
  {
    const std::lock_guard lock(mutex_);
    policy_.interruptions = interruptions;
    for (Job& job : jobs) {
      // Of releases in which a job had one, of all 24 bits.
      if (job.vni % kVnisOfAJob != 0 || job.vni >= kVniCount || vnis_.contains(job.vni))
        job.vni = FreeVni(job.id);
      writer_.Know(job);
      vnis_.insert(job.vni);
      jobs_.emplace(job.id, std::move(job));
    }
    for (const auto& [job_id, job] : jobs_) {
      if (const Status posted = Post(job_id, Restarted{}); !posted)
        log::Failure("restart", posted.error(), {{"job", job_id}});
    }
    next_poll_ = std::chrono::steady_clock::now();
  }
  timer_thread_ = std::thread([this] { RunTimers(); });
  lanes_.Start();
  return {};
}

void Controller::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    timers_changed_.notify_all();
    jobs_changed_.notify_all();
    unsaid_changed_.notify_all();
  }
  if (timer_thread_.joinable()) timer_thread_.join();
  lanes_.Stop();
  writer_.Stop();
}

Status Controller::Attach(const v1::Hello& hello, std::shared_ptr<WardenLink> link) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return Fail(Code::kUnavailable, "the coordinator is shutting down");
  const uint32_t job_id = hello.job_id();
  auto found = jobs_.find(job_id);
  if (found != jobs_.end() && IsNewJob(found->second, hello)) {
    log::Info("job-id-reused", {{"job", job_id}});
    writer_.Forget(job_id);
    CloseLinks(job_id);
    RemoveJob(job_id);
    found = jobs_.end();
  }
  if (found != jobs_.end() && AreTwoJobs(found->second, hello))
    return Fail(Code::kDenied,
                fmt::format("job {} was submitted at {}; that of {}, which had its id before, is "
                            "over",
                            job_id, found->second.submitted, hello.submitted()));
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
    if (added) RemoveJob(job_id);
    return posted;
  }
  if (first_job_ == 0) first_job_ = job_id;
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

uint32_t Controller::FreeVni(uint32_t job_id) const {
  constexpr uint32_t kJobs = kVniCount / kVnisOfAJob;
  uint32_t place = job_id % kJobs;
  while (place == 0 || vnis_.contains(place * kVnisOfAJob)) place = (place + 1) % kJobs;
  return place * kVnisOfAJob;
}

Job& Controller::AddJob(const v1::Hello& hello) {
  Job job;
  job.id = hello.job_id();
  job.start.restart_count = hello.restart_count();
  job.uid = hello.uid();
  job.gid = hello.gid();
  job.vni = FreeVni(job.id);
  vnis_.insert(job.vni);
  // A restart of a job that the journal does not know: it never got here, or the journal was lost.
  job.started = hello.restart_count() > 0 && (first_job_ == 0 || job.id <= first_job_);
  // Nor may a job start over if it is not known how far it had got.
  if (const auto damaged = unreadable_.find(job.id); damaged != unreadable_.end()) {
    job.started = true;
    job.last_error = "the journal's row of the job could not be read: " + damaged->second;
  }
  job.saved_once = job.started;
  // The event that follows refuses options that cannot be read.
  if (const auto options = OptionsOf(hello); options && options->restore_from) {
    const auto source = jobs_.find(options->restore_from->job);
    if (source != jobs_.end() && source->second.hostnames.size() == hello.pods())
      job.hostnames = source->second.hostnames;
  }
  return jobs_[job.id] = std::move(job);
}

void Controller::CloseLinks(uint32_t job_id) {
  const auto end = links_.lower_bound({job_id + 1, 0});
  for (auto link = links_.lower_bound({job_id, 0}); link != end; link = links_.erase(link))
    link->second->Close();
}

void Controller::RemoveJob(uint32_t job_id) {
  vnis_.erase(jobs_.at(job_id).vni);
  jobs_.erase(job_id);
  timers_.DisarmAll(job_id);
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
    case v1::FromWarden::kStored:
      posted = Post(job_id, message.stored(), pod);
      break;
    case v1::FromWarden::kStays:
      posted = Post(job_id, message.stays(), pod);
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
      Action item = TimelineEvent{.name = event.name(),
                                  .unix_ns = event.unix_ns(),
                                  .duration_ns = event.duration_ns(),
                                  .pod = static_cast<int32_t>(pod),
                                  .node = hello.node(),
                                  .detail = event.detail(),
                                  .checkpoint = event.checkpoint()};
      metrics_.Note(item);
      writer_.Add(job_id, std::move(item));
      break;
    }
    default:
      posted = Fail(Code::kInvalid, "a message that does not belong here");
  }
  if (!posted) log::Failure("rejected", posted.error(), {{"job", job_id}, {"pod", pod}});
}

void Controller::NoteShut() {
  const std::lock_guard lock(mutex_);
  shut_ = std::chrono::steady_clock::now();
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

Status Controller::Post(uint32_t job_id, decltype(Event::body) body, uint32_t pod) {
  const auto found = jobs_.find(job_id);
  if (found == jobs_.end()) return Fail(Code::kNotFound, fmt::format("job {} is unknown", job_id));
  Job& job = found->second;
  const Event event{.unix_ns = NowNs(), .pod = pod, .body = std::move(body)};
  const Stage before = job.stage;
  HOLDFAST_TRY(const std::vector<Action> actions, Step(job, event, policy_));
  const JournalWriter::Ticket ticket = writer_.Note(job, actions);
  for (const Action& action : actions) metrics_.Note(action);
  if (job.stage != before)
    log::Info("stage", {{"job", job_id},
                        {"from", StageName(before)},
                        {"to", StageName(job.stage)},
                        {"by", EventName(event)}});
  std::vector<std::function<void()>> words = Perform(job, actions);
  if (ticket == 0 && !unsaid_of_.contains(job_id)) {
    for (const auto& say : words) say();
  } else {
    unsaid_.push_back({ticket, job_id, std::move(words)});
    ++unsaid_of_[job_id];
  }
  jobs_changed_.notify_all();
  return {};
}

void Controller::OnWritten(JournalWriter::Ticket ticket) {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    std::deque<Unsaid> free;
    while (!unsaid_.empty() && unsaid_.front().ticket <= ticket) {
      free.push_back(std::move(unsaid_.front()));
      unsaid_.pop_front();
    }
    if (free.empty()) break;
    // Without the mutex: there may be a thousand streams to write to. What these jobs have to say
    // meanwhile comes behind it, for they are still in unsaid_of_.
    lock.unlock();
    for (const Unsaid& unsaid : free)
      for (const auto& say : unsaid.words) say();
    lock.lock();
    for (const Unsaid& unsaid : free)
      if (--unsaid_of_[unsaid.job_id] == 0) unsaid_of_.erase(unsaid.job_id);
  }
  unsaid_changed_.notify_all();
}

void Controller::AwaitSaid(std::unique_lock<std::mutex>& lock, uint32_t job_id) {
  unsaid_changed_.wait(lock, [&] { return stopping_ || !unsaid_of_.contains(job_id); });
}

}  // namespace holdfast::coordinator
