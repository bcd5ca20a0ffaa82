// Wardens of imaginary pods for coordinator_bench, thousands in one process: each has a connection
// of its own to the coordinator, as a real one has, and answers at once. Thread-safe.
#pragma once

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "protocol/holdfast.grpc.pb.h"
#include "protocol/job_options.h"
#include "protocol/munge.h"

namespace holdfast::bench {

constexpr uint32_t kFirstJob = 1000;
// Points of the timeline that a warden tells of a checkpoint, beside its part in it.
constexpr const char* kTold[] = {"cut", "frozen", "saved"};

inline std::string NodeName(uint32_t job, uint32_t pod) { return fmt::format("n{}-{}", job, pod); }

class Crowd {
 public:
  struct Options {
    std::string address;
    uint32_t jobs = 1;
    uint32_t pods = 1;  // of each job
  };
  // Of each job: from when its last Prepared went out until pod 0 had its Commit, and until all
  // pods had their Settle.
  struct Saved {
    std::vector<double> commit_seconds;
    std::vector<double> settle_seconds;
    uint64_t messages = 0;  // that wardens sent
  };

  explicit Crowd(Options options) : options_(std::move(options)), rounds_(options_.jobs) {
    stagger_ = std::thread([this] { SendLate(); });
  }
  ~Crowd();
  Crowd(const Crowd&) = delete;
  Crowd& operator=(const Crowd&) = delete;

  // Connects all; returns when all run.
  void Start();
  // Returns when every job has been saved once more than before.
  Saved AwaitSaved();
  // From now on the last pod of each job has prepared this much after the others.
  void set_late(std::chrono::milliseconds late) { late_ = late; }

 private:
  class Warden;
  using Clock = std::chrono::steady_clock;
  // Of one checkpoint of one job.
  struct Round {
    std::mutex mutex;
    Clock::time_point prepared;
    Clock::time_point commit;
    Clock::time_point settle;
    uint32_t settled = 0;
  };
  struct Late {
    Clock::time_point due;
    Warden* warden;
    v1::FromWarden message;
  };

  void Connected();
  void Running();
  void Prepared(uint32_t job);
  void Committing(uint32_t job);
  void Settling(uint32_t job);
  void SendLater(Warden* warden, v1::FromWarden message);
  void SendLate();

  const Options options_;
  std::atomic<std::chrono::milliseconds> late_{std::chrono::milliseconds(0)};
  std::vector<Round> rounds_;
  std::atomic<uint64_t> messages_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  uint32_t connected_ = 0;
  uint32_t running_ = 0;
  uint32_t saved_ = 0;  // jobs, in this round
  std::deque<Late> delayed_;
  bool stopping_ = false;
  std::thread stagger_;
  std::vector<std::unique_ptr<Warden>> wardens_;
};

class Crowd::Warden final : public grpc::ClientBidiReactor<v1::FromWarden, v1::ToWarden> {
 public:
  Warden(Crowd& crowd, uint32_t job, uint32_t pod) : crowd_(crowd), job_(job) {
    hello_.set_protocol(protocol::kProtocolVersion);
    hello_.set_job_id(kFirstJob + job);
    hello_.set_pod(pod);
    hello_.set_pods(crowd.options_.pods);
    hello_.set_node(NodeName(kFirstJob + job, pod));
    hello_.set_address(fmt::format("10.{}.{}.{}", job % 250, pod / 250, pod % 250));
    hello_.set_mtu(1500);
    hello_.set_uid(1000);
    hello_.set_job_options(
        EncodeOptions({.checkpoint = true, .directory = "/shared/checkpoints", .keep = 2}));
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    // As warden/loop/channel.cc.
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 5000);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5000);
    arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    stub_ = v1::Coordinator::NewStub(grpc::CreateCustomChannel(
        crowd.options_.address, grpc::InsecureChannelCredentials(), arguments));
    context_.set_wait_for_ready(true);
    stub_->async()->Attach(&context_, this);
    StartRead(&incoming_);
    AddHold();  // writes come from other threads, too
    StartCall();
  }

  void Send(const v1::FromWarden& message) {
    ++crowd_.messages_;
    const std::lock_guard lock(mutex_);
    outbox_.push_back(message);
    if (outbox_.size() == 1) StartWrite(&outbox_.front());
  }
  uint32_t job() const { return job_; }
  void Cancel() {
    context_.TryCancel();
    RemoveHold();
  }
  void AwaitDone() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return done_; });
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    Handle();
    StartRead(&incoming_);
  }
  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    if (!ok) return;
    outbox_.pop_front();
    if (!outbox_.empty()) StartWrite(&outbox_.front());
  }
  void OnDone(const grpc::Status&) override {
    const std::lock_guard lock(mutex_);
    done_ = true;
    changed_.notify_all();
  }

 private:
  void Handle() {
    v1::FromWarden answer;
    switch (incoming_.body_case()) {
      case v1::ToWarden::kChallenge:
        crowd_.Connected();
        hello_.set_credential(fmt::format("0:holdfast-warden {} 0 {} {}", hello_.job_id(),
                                          hello_.pod(), incoming_.challenge().nonce()));
        *answer.mutable_hello() = hello_;
        return Send(answer);
      case v1::ToWarden::kWelcome:
        answer.mutable_ready();
        return Send(answer);
      case v1::ToWarden::kStart:
        answer.mutable_running();
        Send(answer);
        return crowd_.Running();
      case v1::ToWarden::kPrepare:
        return Prepare();
      case v1::ToWarden::kCommit:
        crowd_.Committing(job_);
        answer.mutable_committed()->set_checkpoint(incoming_.commit().checkpoint());
        answer.mutable_committed()->add_saved()->set_number(incoming_.commit().checkpoint());
        answer.mutable_committed()->mutable_saved(0)->set_pods(hello_.pods());
        return Send(answer);
      case v1::ToWarden::kSettle:
        answer.mutable_settled()->set_checkpoint(incoming_.settle().checkpoint());
        answer.mutable_settled()->set_how(incoming_.settle().how());
        Send(answer);
        return crowd_.Settling(job_);
      default:
        return;
    }
  }

  void Prepare() {
    const uint32_t number = incoming_.prepare().checkpoint();
    for (const char* name : kTold) {
      v1::FromWarden told;
      told.mutable_event()->set_name(name);
      told.mutable_event()->set_unix_ns(1);
      told.mutable_event()->set_checkpoint(number);
      Send(told);
    }
    v1::FromWarden answer;
    answer.mutable_prepared()->set_checkpoint(number);
    v1::Part& part = *answer.mutable_prepared()->mutable_part();
    part.set_pod(hello_.pod());
    part.set_name(fmt::format("{:06}-{}.h5", number, hello_.pod()));
    part.set_digest(std::string(32, 'd'));
    part.set_raw_bytes(1 << 30);
    part.set_stored_bytes(1 << 20);
    part.set_processes(8);
    if (hello_.pod() + 1 == hello_.pods()) return crowd_.SendLater(this, std::move(answer));
    crowd_.Prepared(job_);
    Send(answer);
  }

  Crowd& crowd_;
  const uint32_t job_;  // 0 is the first
  v1::Hello hello_;
  grpc::ClientContext context_;
  std::unique_ptr<v1::Coordinator::Stub> stub_;
  v1::ToWarden incoming_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<v1::FromWarden> outbox_;  // the first is being written
  bool done_ = false;
};

inline Crowd::~Crowd() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  stagger_.join();
  for (const auto& warden : wardens_) warden->Cancel();
  for (const auto& warden : wardens_) warden->AwaitDone();
}

inline void Crowd::Start() {
  constexpr size_t kAtOnce = 256;  // connections under way
  std::unique_lock lock(mutex_);
  for (uint32_t job = 0; job < options_.jobs; ++job)
    for (uint32_t pod = 0; pod < options_.pods; ++pod) {
      changed_.wait(lock, [&] { return wardens_.size() < connected_ + kAtOnce; });
      lock.unlock();
      auto warden = std::make_unique<Warden>(*this, job, pod);
      lock.lock();
      wardens_.push_back(std::move(warden));
    }
  changed_.wait(lock, [&] { return running_ == options_.jobs * options_.pods; });
}

inline Crowd::Saved Crowd::AwaitSaved() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return saved_ == options_.jobs; });
  saved_ = 0;
  Saved saved;
  saved.messages = messages_.exchange(0);
  for (Round& round : rounds_) {
    const std::lock_guard round_lock(round.mutex);
    const auto since = [&](Clock::time_point time) {
      return std::chrono::duration<double>(time - round.prepared).count();
    };
    saved.commit_seconds.push_back(since(round.commit));
    saved.settle_seconds.push_back(since(round.settle));
    round.settled = 0;
  }
  return saved;
}

inline void Crowd::Connected() {
  const std::lock_guard lock(mutex_);
  ++connected_;
  changed_.notify_all();
}

inline void Crowd::Running() {
  const std::lock_guard lock(mutex_);
  if (++running_ == options_.jobs * options_.pods) messages_ = 0;
  changed_.notify_all();
}

inline void Crowd::Prepared(uint32_t job) {
  const std::lock_guard lock(rounds_[job].mutex);
  rounds_[job].prepared = Clock::now();
}

inline void Crowd::Committing(uint32_t job) {
  const std::lock_guard lock(rounds_[job].mutex);
  rounds_[job].commit = Clock::now();
}

inline void Crowd::Settling(uint32_t job) {
  {
    const std::lock_guard lock(rounds_[job].mutex);
    rounds_[job].settle = Clock::now();
    if (++rounds_[job].settled < options_.pods) return;
  }
  const std::lock_guard lock(mutex_);
  ++saved_;
  changed_.notify_all();
}

inline void Crowd::SendLater(Warden* warden, v1::FromWarden message) {
  const std::lock_guard lock(mutex_);
  delayed_.push_back({Clock::now() + late_.load(), warden, std::move(message)});
  changed_.notify_all();
}

inline void Crowd::SendLate() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (delayed_.empty()) {
      changed_.wait(lock);
    } else if (delayed_.front().due > Clock::now()) {
      changed_.wait_until(lock, delayed_.front().due);
    } else {
      const Late late = std::move(delayed_.front());
      delayed_.pop_front();
      lock.unlock();
      Prepared(late.warden->job());
      late.warden->Send(late.message);
      lock.lock();
    }
  }
}

}  // namespace holdfast::bench
