#include "coordinator/admission.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <string>

#include "protocol/munge.h"

namespace holdfast::coordinator {
namespace {

constexpr std::chrono::seconds kHelloTimeout{20};
// What Slurm has said of a job is believed for so long, if it bears out what another of its wardens
// says; otherwise Slurm is asked again.
constexpr std::chrono::seconds kRecent{1};
// So many are admitted together; the others wait for less long than they would for one each.
constexpr size_t kAtOnce = 500;

Status Prove(const WardenStream& stream, Authenticator& authenticator) {
  const v1::Hello& hello = stream.hello();
  if (hello.protocol() != protocol::kProtocolVersion)
    return Fail(Code::kDenied,
                fmt::format("the warden on {} speaks protocol {}, the coordinator {}: install the "
                            "same Holdfast on all nodes",
                            hello.node(), hello.protocol(), protocol::kProtocolVersion));
  const std::string purpose = fmt::format("holdfast-warden {} {} {} {}", hello.job_id(),
                                          hello.restart_count(), hello.pod(), stream.nonce());
  HOLDFAST_TRY(const protocol::Credential credential, authenticator.Unseal(hello.credential()));
  if (credential.uid != 0 || credential.payload != purpose)
    return Fail(Code::kDenied, "the credential is not root's for this stream");
  return {};
}

}  // namespace

Status CheckHello(const v1::Hello& hello, const Record& record) {
  const auto deny = [&](const std::string& why) {
    return Fail(Code::kDenied, fmt::format("job {}, pod {} on {}: {}", hello.job_id(), hello.pod(),
                                           hello.node(), why));
  };
  if (record.state == Record::State::kGone) return deny("Slurm does not know the job");
  if (hello.phase() == v1::PHASE_FRESH && record.state != Record::State::kRunning)
    return deny("Slurm says that the job is " + record.state_name);
  if (hello.restart_count() != record.restart_count && record.state == Record::State::kRunning)
    return deny(fmt::format("this is start {} of the job; Slurm's is {}", hello.restart_count(),
                            record.restart_count));
  if (hello.uid() != record.uid)
    return deny(fmt::format("the job belongs to uid {}, not {}", record.uid, hello.uid()));
  // Slurm clears the list when the job has left its nodes; then a reconnecting pod is about to end
  // anyway.
  if (record.state != Record::State::kRunning) return {};
  // Which of several pods is on which node (docs/adr/0035) is Slurm's own distribution of tasks.
  const bool one_each = hello.pods() == record.nodes.size();
  if (hello.pod() >= hello.pods() ||
      (one_each ? record.nodes[hello.pod()] != hello.node()
                : !std::ranges::contains(record.nodes, hello.node())))
    return deny(fmt::format("it is not node {} of the job's {}", hello.pod(), record.nodes.size()));
  return {};
}

Status CheckCluster(const v1::Hello& hello, const std::string& cluster) {
  // A warden of before it was told names none.
  if (hello.cluster().empty() || hello.cluster() == cluster) return {};
  return Fail(Code::kDenied,
              fmt::format("job {}, pod {} on {}: the node is of cluster {}, and this is the "
                          "coordinator of cluster {}: let coordinator.host on the node name its "
                          "own cluster's",
                          hello.job_id(), hello.pod(), hello.node(), hello.cluster(), cluster));
}

Admission::Admission(Controller& controller, SlurmClient& slurm, Authenticator& authenticator)
    : controller_(controller), slurm_(slurm), authenticator_(authenticator) {
  admitting_ = std::thread([this] { RunAdmitting(); });
  sealing_ = std::thread([this] { RunSealing(); });
}

Admission::~Admission() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    newcomers_changed_.notify_all();
    unsealed_changed_.notify_all();
  }
  admitting_.join();
  sealing_.join();
}

void Admission::Expect(const std::shared_ptr<WardenStream>& stream) {
  const std::lock_guard lock(mutex_);
  silent_.emplace_back(std::chrono::steady_clock::now() + kHelloTimeout, stream);
  if (silent_.size() == 1) newcomers_changed_.notify_all();
}

void Admission::Admit(std::shared_ptr<WardenStream> stream) {
  const std::lock_guard lock(mutex_);
  newcomers_.push_back(std::move(stream));
  newcomers_changed_.notify_all();
}

void Admission::Seal(std::shared_ptr<WardenStream> stream) {
  const std::lock_guard lock(mutex_);
  unsealed_.push_back(std::move(stream));
  unsealed_changed_.notify_all();
}

Admission::Streams Admission::TakeSilent(Time now) {
  Streams late;
  while (!silent_.empty()) {
    std::shared_ptr<WardenStream> stream = silent_.front().second.lock();
    if (stream && !stream->has_said_hello()) {
      if (silent_.front().first > now) break;
      late.push_back(std::move(stream));
    }
    silent_.pop_front();
  }
  return late;
}

Admission::Streams Admission::TakeNewcomers() {
  const auto end =
      newcomers_.begin() + static_cast<std::ptrdiff_t>(std::min(kAtOnce, newcomers_.size()));
  Streams streams(std::make_move_iterator(newcomers_.begin()), std::make_move_iterator(end));
  newcomers_.erase(newcomers_.begin(), end);
  return streams;
}

void Admission::RunAdmitting() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    Streams late = TakeSilent(std::chrono::steady_clock::now());
    Streams newcomers = TakeNewcomers();
    if (!late.empty() || !newcomers.empty()) {
      // A stream calls this with its own mutex held, so none is called with this one's.
      lock.unlock();
      for (const auto& stream : late) stream->Close();
      late.clear();
      AdmitAll(std::move(newcomers));
      lock.lock();
    } else if (silent_.empty()) {
      newcomers_changed_.wait(lock);
    } else {
      newcomers_changed_.wait_until(lock, Time(silent_.front().first));
    }
  }
}

void Admission::AdmitAll(Streams streams) {
  std::erase_if(streams, [this](const auto& stream) {
    const Status proven = Prove(*stream, authenticator_);
    if (proven) return false;
    if (proven.error().code() == Code::kUnavailable) controller_.NoteShut();
    stream->Refuse(proven.error());
    return true;
  });
  if (streams.empty()) return;
  const Status looked_up = LookUp(streams);
  if (!looked_up) controller_.NoteShut();
  for (const auto& stream : streams) {
    Status admitted = looked_up;
    if (admitted) admitted = CheckCluster(stream->hello(), cluster_);
    if (admitted) admitted = CheckHello(stream->hello(), recent_.at(stream->hello().job_id()));
    if (admitted) admitted = controller_.Attach(stream->hello(), stream);
    if (admitted)
      stream->Admitted();
    else
      stream->Refuse(admitted.error());
  }
}

Status Admission::LookUp(const Streams& streams) {
  if (const Time now = std::chrono::steady_clock::now(); now - recent_since_ > kRecent) {
    recent_.clear();
    recent_since_ = now;
  }
  std::set<uint32_t> job_ids;
  for (const auto& stream : streams) {
    const auto known = recent_.find(stream->hello().job_id());
    if (known == recent_.end() || !CheckHello(stream->hello(), known->second))
      job_ids.insert(stream->hello().job_id());
  }
  if (cluster_.empty()) {
    HOLDFAST_TRY(const Cluster cluster, slurm_.LoadCluster());
    cluster_ = cluster.name;
  }
  if (job_ids.empty()) return {};
  HOLDFAST_TRY(std::vector<Record> records, slurm_.LoadMany({job_ids.begin(), job_ids.end()}));
  for (Record& record : records) recent_[record.job_id] = std::move(record);
  return {};
}

void Admission::RunSealing() {
  std::unique_lock lock(mutex_);
  while (true) {
    unsealed_changed_.wait(lock, [this] { return stopping_ || !unsealed_.empty(); });
    if (unsealed_.empty()) return;
    const std::shared_ptr<WardenStream> stream = std::move(unsealed_.front());
    unsealed_.pop_front();
    lock.unlock();
    stream->Sealed(authenticator_.Seal(stream->greeting()));
    lock.lock();
  }
}

}  // namespace holdfast::coordinator
