#include "coordinator/journal_writer.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <tuple>
#include <utility>

#include "base/log.h"
#include "coordinator/clock.h"

namespace holdfast::coordinator {
namespace {

using Clock = std::chrono::steady_clock;

// History that waits for a journal that cannot be written, of all jobs; then the oldest goes.
constexpr size_t kHistoryWaiting = 100'000;
// So much of it is not left to wait for more.
constexpr size_t kHistoryAtOnce = 5'000;

bool IsHistory(const Action& action) {
  return std::holds_alternative<SaveCheckpoint>(action) ||
         std::holds_alternative<SaveMove>(action) ||
         std::holds_alternative<TimelineEvent>(action) || std::holds_alternative<Count>(action);
}

template <typename T>
void Replace(std::vector<T>& list, const T& newer) {
  const auto found = std::ranges::lower_bound(list, newer.number, {}, &T::number);
  if (found != list.end() && found->number == newer.number)
    *found = newer;
  else
    list.insert(found, newer);
}

void Extend(History& history, const Action& action) {
  if (const auto* save = std::get_if<SaveCheckpoint>(&action))
    Replace(history.checkpoints, save->checkpoint);
  else if (const auto* step = std::get_if<SaveMove>(&action))
    Replace(history.moves, step->move);
  else if (const auto* event = std::get_if<TimelineEvent>(&action))
    history.events.push_back(*event);
}

bool IsSame(const TimelineEvent& a, const TimelineEvent& b) {
  return std::tie(a.unix_ns, a.name, a.pod, a.detail) ==
         std::tie(b.unix_ns, b.name, b.pod, b.detail);
}

}  // namespace

JournalWriter::JournalWriter(Options options, Journal& journal, Metrics& metrics,
                             std::function<void(Ticket)> written)
    : options_(options), journal_(journal), metrics_(metrics), written_(std::move(written)) {
  thread_ = std::thread([this] { Run(); });
}

void JournalWriter::Know(const Durable& job) {
  const std::lock_guard lock(mutex_);
  known_[job.id].job = job;
}

JournalWriter::Ticket JournalWriter::Note(const Job& job, const std::vector<Action>& actions) {
  const std::lock_guard lock(mutex_);
  for (const Action& action : actions)
    if (IsHistory(action)) Remember({job.id, action});
  const auto [entry, added] = known_.try_emplace(job.id);
  Known& known = entry->second;
  if (added || !(known.job == job)) {
    known.job = job;
    known.ticket = ++last_ticket_;
    pending_.jobs.insert(job.id);
    changed_.notify_all();
  }
  return health_.error.empty() && known.ticket > done_ ? known.ticket : 0;
}

void JournalWriter::Add(uint32_t job_id, Action action) {
  const std::lock_guard lock(mutex_);
  Remember({job_id, std::move(action)});
}

void JournalWriter::Remember(HistoryItem item) {
  if (pending_.history.empty() && health_.error.empty())
    due_ = Clock::now() + options_.history_pause;
  pending_.history.push_back(std::move(item));
  if (pending_.history.size() > kHistoryWaiting) {
    pending_.history.pop_front();
    ++dropped_;
  }
  if (pending_.history.size() == 1 || pending_.history.size() == kHistoryAtOnce)
    changed_.notify_all();
}

void JournalWriter::Forget(uint32_t job_id) {
  const std::lock_guard lock(mutex_);
  known_.erase(job_id);
  pending_.jobs.erase(job_id);
  std::erase_if(pending_.history, [job_id](const auto& item) { return item.job_id == job_id; });
  pending_.forgotten.insert(job_id);
  changed_.notify_all();
}

void JournalWriter::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

JournalHealth JournalWriter::health() {
  const std::lock_guard lock(mutex_);
  JournalHealth health = health_;
  health.jobs = pending_.jobs.size();
  health.history = pending_.history.size();
  health.dropped = dropped_;
  return health;
}

bool JournalWriter::IsDue(Clock::time_point now) const {
  if (pending_.empty()) return false;
  if (now >= due_) return true;
  return health_.error.empty() && (!pending_.jobs.empty() || !pending_.forgotten.empty() ||
                                   pending_.history.size() >= kHistoryAtOnce);
}

void JournalWriter::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    while (!stopping_ && !IsDue(Clock::now())) {
      if (pending_.empty())
        changed_.wait(lock);
      else
        changed_.wait_until(lock, due_);
    }
    if (pending_.empty()) return;  // stopping
    const Ticket ticket = last_ticket_;
    JournalBatch batch = Take();
    writing_ = batch.history;
    lock.unlock();
    const Status status = Write(batch);
    lock.lock();
    writing_.clear();
    Conclude(std::move(batch), ticket, status);
    if (stopping_ && (!status || pending_.empty())) return;
    const bool behind = !health_.error.empty() || (behind_ && !pending_.jobs.empty());
    const Ticket done = done_;
    lock.unlock();
    if (behind != behind_) SetBehind(behind, status);
    written_(done);
    lock.lock();
  }
}

Status JournalWriter::Write(const JournalBatch& batch) {
  const auto begin = Clock::now();
  Status written = journal_.Write(batch);
  metrics_.Observe(Metric::kJournal, Clock::now() - begin);
  if (!written) metrics_.Add(Metric::kJournalFailures);
  return written;
}

void JournalWriter::SetBehind(bool behind, const Status& why) {
  behind_ = behind;
  if (behind)
    log::Failure("journal", why.error());
  else
    log::Info("journal-written-again", {{"history-dropped", dropped_.load()}});
  if (const Status noted = journal_.SetBehind(behind); !noted)
    log::Failure("journal", noted.error());
}

JournalBatch JournalWriter::Take() {
  JournalBatch batch;
  batch.forgotten = std::exchange(pending_.forgotten, {});
  for (const uint32_t job_id : std::exchange(pending_.jobs, {}))
    batch.jobs.emplace(job_id, known_.at(job_id).job);
  batch.history = std::exchange(pending_.history, {});
  return batch;
}

void JournalWriter::Conclude(JournalBatch batch, Ticket ticket, const Status& status) {
  if (status) {
    done_ = ticket;
    health_ = {};
    return;
  }
  PutBack(std::move(batch));
  done_ = last_ticket_;
  due_ = Clock::now() + options_.retry_pause;
  if (health_.error.empty()) health_.since_ns = NowNs();
  health_.error = status.error().message();
}

// Behind what has come meanwhile, which is newer.
void JournalWriter::PutBack(JournalBatch batch) {
  const auto is_forgotten = [this](const auto& of) { return pending_.forgotten.contains(of); };
  for (const auto& [job_id, job] : batch.jobs)
    if (!is_forgotten(job_id)) pending_.jobs.insert(job_id);
  std::erase_if(batch.history, [&](const auto& item) { return is_forgotten(item.job_id); });
  batch.history.insert(batch.history.end(), std::make_move_iterator(pending_.history.begin()),
                       std::make_move_iterator(pending_.history.end()));
  pending_.history = std::move(batch.history);
  while (pending_.history.size() > kHistoryWaiting) {
    pending_.history.pop_front();
    ++dropped_;
  }
  pending_.forgotten.merge(batch.forgotten);
}

Result<History> JournalWriter::HistoryOf(uint32_t job_id, unsigned limit) {
  // Taken before the journal is read: what is written in between comes twice, and none not at all.
  std::vector<Action> waiting;
  std::optional<Checkpoint> in_flight;
  {
    const std::lock_guard lock(mutex_);
    for (const auto* items : {&writing_, &pending_.history})
      for (const HistoryItem& item : *items)
        if (item.job_id == job_id) waiting.push_back(item.action);
    if (const auto known = known_.find(job_id); known != known_.end())
      in_flight = known->second.job.checkpoint;
  }
  History history;
  HOLDFAST_TRY(history.checkpoints, journal_.Checkpoints(job_id));
  HOLDFAST_TRY(history.moves, journal_.Moves(job_id));
  HOLDFAST_TRY(history.events, journal_.Events(job_id, limit));
  for (const Action& action : waiting) Extend(history, action);
  if (in_flight) Replace(history.checkpoints, *in_flight);
  std::ranges::stable_sort(history.events, {}, &TimelineEvent::unix_ns);
  const auto twice = std::ranges::unique(history.events, IsSame);
  history.events.erase(twice.begin(), twice.end());
  if (history.events.size() > limit)
    history.events.erase(history.events.begin(),
                         history.events.end() - static_cast<std::ptrdiff_t>(limit));
  return history;
}

}  // namespace holdfast::coordinator
