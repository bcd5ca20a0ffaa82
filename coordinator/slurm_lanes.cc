#include "coordinator/slurm_lanes.h"

#include <algorithm>
#include <utility>

namespace holdfast::coordinator {
namespace {

// One may wait for a slurmctld that is slow with one thing; more would only press it.
constexpr int kLaneThreads = 3;

}  // namespace

const char* LaneName(Lane lane) {
  switch (lane) {
    case Lane::kUrgent:
      return "urgent";
    case Lane::kOrdinary:
      return "ordinary";
    case Lane::kPolling:
      return "polling";
  }
  return "unknown";
}

void SlurmLanes::Start() {
  for (int i = 0; i < kLaneThreads; ++i) threads_.emplace_back([this] { Run(); });
}

void SlurmLanes::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void SlurmLanes::Push(Lane lane, const std::string& subject, Request request) {
  const std::lock_guard lock(mutex_);
  const auto entry = subjects_.try_emplace(subject).first;
  entry->second.waiting.push_back({lane, ++pushed_, std::move(request)});
  if (!entry->second.under_way) MakeReady(entry);
  changed_.notify_one();
}

std::array<size_t, kLanes> SlurmLanes::Waiting() {
  const std::lock_guard lock(mutex_);
  std::array<size_t, kLanes> counts{};
  for (const auto& [name, subject] : subjects_)
    for (const Queued& queued : subject.waiting) ++counts.at(static_cast<size_t>(queued.lane));
  return counts;
}

void SlurmLanes::MakeReady(Subjects::iterator subject) {
  const std::deque<Queued>& waiting = subject->second.waiting;
  const Lane lane = std::ranges::min(waiting, {}, &Queued::lane).lane;
  ready_.erase(subject->second.rank);
  subject->second.rank = {lane, waiting.front().number};
  ready_.emplace(subject->second.rank, subject);
}

void SlurmLanes::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !ready_.empty(); });
    if (stopping_) return;
    const Subjects::iterator subject = ready_.begin()->second;
    ready_.erase(ready_.begin());
    subject->second.under_way = true;
    const Request request = std::move(subject->second.waiting.front().request);
    subject->second.waiting.pop_front();
    lock.unlock();
    request();
    lock.lock();
    subject->second.under_way = false;
    if (subject->second.waiting.empty()) {
      subjects_.erase(subject);
    } else {
      MakeReady(subject);
      changed_.notify_one();
    }
  }
}

}  // namespace holdfast::coordinator
