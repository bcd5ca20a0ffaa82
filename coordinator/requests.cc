// The controller's part in what people ask.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "coordinator/clock.h"
#include "coordinator/controller.h"
#include "coordinator/state.h"

namespace holdfast::coordinator {

std::vector<Job> Controller::List(const std::function<bool(const Job&)>& wanted, uint32_t after,
                                  size_t limit) {
  const std::lock_guard lock(mutex_);
  std::vector<Job> jobs;
  for (auto it = jobs_.upper_bound(after); it != jobs_.end() && jobs.size() < limit; ++it)
    if (wanted(it->second)) jobs.push_back(it->second);
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
    if (KeptFor(job, policy_) == std::chrono::seconds(0) && !sources.contains(job_id))
      expired.push_back(job);
  return expired;
}

Status Controller::NoteRemoved(uint32_t job_id, const Removed& removed) {
  std::unique_lock lock(mutex_);
  HOLDFAST_CHECK(Post(job_id, removed));
  AwaitSaid(lock, job_id);
  return {};
}

Status Controller::Unwant(uint32_t job_id, uint32_t checkpoint) {
  std::unique_lock lock(mutex_);
  for (const auto& [id, job] : jobs_)
    if (IsActive(job.stage) && id != job_id && job.start.restore_job == job_id &&
        job.start.restore_checkpoint == checkpoint && job.newest() == 0)
      return Fail(Code::kConflict,
                  fmt::format("job {}: job {} is restored from its checkpoint {}, and has none of "
                              "its own yet",
                              job_id, id, checkpoint));
  HOLDFAST_CHECK(Post(job_id, coordinator::Unwant{.checkpoint = checkpoint}));
  AwaitSaid(lock, job_id);
  return {};
}

bool Controller::Is(uint32_t job_id, const std::function<bool(const Job&)>& so) {
  const std::lock_guard lock(mutex_);
  const auto found = jobs_.find(job_id);
  return found != jobs_.end() && so(found->second);
}

std::optional<Job> Controller::Find(uint32_t job_id) {
  const std::lock_guard lock(mutex_);
  const auto found = jobs_.find(job_id);
  if (found == jobs_.end()) return std::nullopt;
  return found->second;
}

std::optional<Job> Controller::Find(ArrayTask array) {
  const std::lock_guard lock(mutex_);
  for (const auto& [job_id, job] : jobs_)
    if (job.array == array) return job;
  return std::nullopt;
}

Result<uint32_t> Controller::Save(uint32_t job_id, Wish wish) {
  std::unique_lock lock(mutex_);
  wish.begun_ns = NowNs();
  HOLDFAST_CHECK(Post(job_id, std::move(wish)));
  const uint32_t number = jobs_.at(job_id).checkpoint->number;
  AwaitSaid(lock, job_id);
  return number;
}

Status Controller::ResumeJob(uint32_t job_id, const Resume& resume) {
  std::unique_lock lock(mutex_);
  HOLDFAST_CHECK(Post(job_id, resume));
  AwaitSaid(lock, job_id);
  return {};
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
  HOLDFAST_TRY(const History history, HistoryOf(job_id, 0));
  for (const Checkpoint& checkpoint : history.checkpoints)
    if (checkpoint.number == number) return checkpoint;
  return Fail(Code::kNotFound, fmt::format("job {} has no checkpoint {}", job_id, number));
}

}  // namespace holdfast::coordinator
