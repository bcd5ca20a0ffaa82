// Slurm, MUNGE and wardens for tests of the running coordinator.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "coordinator/authenticator.h"
#include "coordinator/clock.h"
#include "coordinator/slurm_client.h"
#include "protocol/holdfast.grpc.pb.h"
#include "protocol/job_options.h"

namespace holdfast::coordinator {

// Polls until `condition` holds, or for ten seconds.
inline bool Eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

// A cluster with one queue: a requeued job is pending at once, until Start.
class FakeSlurm : public SlurmClient {
 public:
  Result<Record> Load(uint32_t job_id) override {
    const std::lock_guard lock(mutex_);
    if (away) return Fail(Code::kUnavailable, "slurmctld does not answer");
    Record record = jobs[job_id];
    record.job_id = job_id;
    record.asked_ns = NowNs();
    return record;
  }
  Result<std::vector<Record>> LoadMany(const std::vector<uint32_t>& job_ids) override {
    std::vector<Record> records;
    for (const uint32_t job_id : job_ids) {
      HOLDFAST_TRY(Record record, Load(job_id));
      records.push_back(std::move(record));
    }
    return records;
  }
  Status Requeue(uint32_t job_id, const coordinator::Requeue& how) override {
    const std::lock_guard lock(mutex_);
    if (refuse_requeue-- > 0) return Fail(Code::kUnavailable, "slurmctld is busy");
    refuse_requeue = 0;
    Record& job = jobs[job_id];
    if (job.restart_count != how.restart_count) return {};
    if (job.state != Record::State::kRunning && !job.may_return()) return {};
    job.state = Record::State::kPending;
    job.state_name = "PENDING";
    job.held = how.hold;
    job.nodes.clear();
    ++job.restart_count;
    job.begin_time = NowNs() / 1'000'000'000 + 120;
    ++requeues;
    return {};
  }
  Status Apply(uint32_t job_id, const Amend& amend) override {
    const std::lock_guard lock(mutex_);
    if (amend.excluded) jobs[job_id].excluded = *amend.excluded;
    if (amend.eligible) jobs[job_id].begin_time = NowNs() / 1'000'000'000;
    if (amend.not_before != 0) jobs[job_id].begin_time = amend.not_before;
    if (amend.hold) jobs[job_id].held = true;
    if (amend.release) jobs[job_id].held = false;
    return {};
  }
  Status Cancel(uint32_t job_id) override {
    const std::lock_guard lock(mutex_);
    jobs[job_id].state = Record::State::kTerminal;
    jobs[job_id].state_name = "CANCELLED";
    return {};
  }
  Status SetComment(uint32_t job_id, const std::string& text) override {
    const std::lock_guard lock(mutex_);
    comments[job_id] = MergeComment(comments[job_id], text);
    return {};
  }
  Result<std::vector<NodeRecord>> LoadNodes() override {
    const std::lock_guard lock(mutex_);
    std::vector<NodeRecord> records;
    for (const auto& [name, record] : node_records) records.push_back(record);
    return records;
  }
  Status Drain(const std::string& node, const std::string& reason) override {
    if (deny_drain) return Fail(Code::kDenied, "not an administrator");
    return DrainAsRoot(node, reason);
  }
  Result<std::vector<SlurmUser>> LoadUsers() override {
    const std::lock_guard lock(mutex_);
    return users;
  }
  Result<Cluster> LoadCluster() override {
    if (away) return Fail(Code::kUnavailable, "slurmctld does not answer");
    return Cluster{.name = "lab", .slurm_user = 64030};
  }

  // Test side.
  Status DrainAsRoot(const std::string& node, const std::string& reason) {
    const std::lock_guard lock(mutex_);
    const auto found = node_records.find(node);
    if (found == node_records.end()) return Fail(Code::kNotFound, "Slurm has no such node");
    if (!found->second.draining) found->second = {node, true, reason};
    return {};
  }
  NodeRecord Node(const std::string& name) {
    const std::lock_guard lock(mutex_);
    return node_records[name];
  }
  void Resume(const std::string& name) {
    const std::lock_guard lock(mutex_);
    node_records[name] = {.name = name};
  }
  std::atomic<bool> deny_drain = false;  // the coordinator is an operator
  void Run(uint32_t job_id, uid_t uid, std::vector<std::string> nodes) {
    const std::lock_guard lock(mutex_);
    Record& job = jobs[job_id];
    job.state = Record::State::kRunning;
    job.uid = uid;
    job.start_time = NowNs() / 1'000'000'000;
    job.preempt_time = 0;
    job.nodes = std::move(nodes);
  }
  void Change(uint32_t job_id, const std::function<void(Record&)>& change) {
    const std::lock_guard lock(mutex_);
    change(jobs[job_id]);
  }
  Record Get(uint32_t job_id) {
    const std::lock_guard lock(mutex_);
    return jobs[job_id];
  }
  void Grant(const SlurmUser& user) {
    const std::lock_guard lock(mutex_);
    users.push_back(user);
  }
  std::string CommentOf(uint32_t job_id) {
    const std::lock_guard lock(mutex_);
    return comments[job_id];
  }
  std::atomic<bool> away = false;
  std::atomic<int> refuse_requeue = 0;
  std::atomic<int> requeues = 0;

 private:
  std::mutex mutex_;
  std::map<uint32_t, Record> jobs;
  std::map<std::string, NodeRecord> node_records{
      {"n1", {"n1"}}, {"n2", {"n2"}}, {"n3", {"n3"}}, {"n4", {"n4"}}};
  std::map<uint32_t, std::string> comments;
  std::vector<SlurmUser> users;
};

// Credentials are "UID:PAYLOAD", good for one use each.
class FakeAuthenticator : public Authenticator {
 public:
  Result<std::string> Seal(const std::string& payload) override { return "999:" + payload; }
  Result<protocol::Credential> Unseal(const std::string& credential) override {
    const std::lock_guard lock(mutex_);
    const size_t colon = credential.find(':');
    if (colon == std::string::npos) return Fail(Code::kDenied, "munge: invalid credential");
    if (!used_.insert(credential).second) return Fail(Code::kDenied, "munge: replayed credential");
    return protocol::Credential{.payload = credential.substr(colon + 1),
                                .uid = static_cast<uid_t>(std::stoul(credential.substr(0, colon)))};
  }
  void Forget() {
    const std::lock_guard lock(mutex_);
    used_.clear();
  }

 private:
  std::mutex mutex_;
  std::set<std::string> used_;
};

// The committed checkpoints of all jobs.
struct FakeStorage {
  std::mutex mutex;
  std::map<uint32_t, std::set<uint32_t>> committed;
};

// A warden with an imaginary pod, over a real stream. Answers by itself.
class FakeWarden {
 public:
  // `credential`: instead of a good one.
  FakeWarden(std::string address, FakeStorage& storage, v1::Hello hello,
             std::string credential = "")
      : address_(std::move(address)),
        storage_(storage),
        credential_(std::move(credential)),
        hello_(std::move(hello)) {
    Connect();
  }
  ~FakeWarden() { Disconnect(); }

  void Connect() {
    channel_ = grpc::CreateChannel(address_, grpc::InsecureChannelCredentials());
    context_ = std::make_unique<grpc::ClientContext>();
    stub_ = v1::Coordinator::NewStub(channel_);
    stream_ = stub_->Attach(context_.get());
    reader_ = std::thread([this] { Read(); });
  }
  void Disconnect() {
    context_->TryCancel();
    if (reader_.joinable()) reader_.join();
  }
  void Send(const v1::FromWarden& message) {
    const std::lock_guard lock(mutex_);
    stream_->Write(message);
  }
  void Notify(int signal) {
    v1::FromWarden message;
    message.mutable_notice()->set_signal(signal);
    Send(message);
  }
  v1::Phase phase() {
    const std::lock_guard lock(mutex_);
    return hello_.phase();
  }
  std::string refusal() {
    const std::lock_guard lock(mutex_);
    return refusal_;
  }
  std::string drain_reason() {
    const std::lock_guard lock(mutex_);
    return drain_reason_;
  }
  v1::Welcome welcome() {
    const std::lock_guard lock(mutex_);
    return welcome_;
  }

  std::atomic<bool> hold_commit = false;  // commits, and says nothing of it
  std::atomic<bool> fail_prepare = false;
  std::atomic<bool> fail_create = false;
  std::atomic<int> delivered = 0;

 private:
  void Read() {
    v1::ToWarden message;
    while (stream_->Read(&message)) {
      const std::lock_guard lock(mutex_);
      v1::FromWarden answer;
      Handle(message, answer);
      if (answer.body_case() != v1::FromWarden::BODY_NOT_SET) stream_->Write(answer);
    }
    (void)stream_->Finish();
  }

  void Handle(const v1::ToWarden& message, v1::FromWarden& answer) {
    const uint32_t job_id = hello_.job_id();
    if (message.has_challenge()) {
      hello_.set_credential(credential_.empty() ? "0:holdfast-warden " + std::to_string(job_id) +
                                                      " " + std::to_string(hello_.restart_count()) +
                                                      " " + std::to_string(hello_.pod()) + " " +
                                                      message.challenge().nonce()
                                                : credential_);
      hello_.set_nonce("warden's");
      hello_.clear_saved();
      if (hello_.pod() == 0) FillSaved(*hello_.mutable_saved());
      *answer.mutable_hello() = hello_;
    } else if (message.has_welcome()) {
      welcome_ = message.welcome();
      if (hello_.phase() != v1::PHASE_FRESH) return;
      if (fail_create) {
        answer.mutable_failed()->set_code("unsupported");
        answer.mutable_failed()->set_message("criu restore failed");
        return;
      }
      hello_.set_phase(v1::PHASE_READY);
      answer.mutable_ready();
    } else if (message.has_start()) {
      hello_.set_phase(v1::PHASE_RUNNING);
      answer.mutable_running();
    } else if (message.has_prepare()) {
      hello_.set_checkpoint(message.prepare().checkpoint());
      if (fail_prepare) {
        answer.mutable_failed()->set_phase(v1::PHASE_PREPARING);
        answer.mutable_failed()->set_checkpoint(message.prepare().checkpoint());
        answer.mutable_failed()->set_message("criu dump failed");
        return;
      }
      hello_.set_phase(v1::PHASE_PREPARED);
      v1::Prepared& prepared = *answer.mutable_prepared();
      prepared.set_checkpoint(message.prepare().checkpoint());
      prepared.mutable_part()->set_pod(hello_.pod());
      prepared.mutable_part()->set_raw_bytes(1000);
      prepared.mutable_part()->set_frozen_ns(5);
      *hello_.mutable_prepared() = prepared;
    } else if (message.has_commit()) {
      {
        const std::lock_guard storage(storage_.mutex);
        storage_.committed[job_id].insert(message.commit().checkpoint());
      }
      hello_.set_phase(v1::PHASE_COMMITTED);
      hello_.set_committed(message.commit().checkpoint());
      if (hold_commit) return;
      answer.mutable_committed()->set_checkpoint(message.commit().checkpoint());
      FillSaved(*answer.mutable_committed()->mutable_saved());
    } else if (message.has_settle()) {
      hello_.set_phase(message.settle().how() == v1::Settle::RELEASE ? v1::PHASE_RELEASED
                                                                     : v1::PHASE_RUNNING);
      answer.mutable_settled()->set_checkpoint(message.settle().checkpoint());
      answer.mutable_settled()->set_how(message.settle().how());
    } else if (message.has_deliver()) {
      ++delivered;
    } else if (message.has_drain()) {
      drain_reason_ = message.drain().reason();
    } else if (message.has_refuse()) {
      refusal_ = message.refuse().message();
    }
  }

  void FillSaved(google::protobuf::RepeatedPtrField<v1::Saved>& list) {
    const std::lock_guard lock(storage_.mutex);
    for (const uint32_t number : storage_.committed[hello_.job_id()]) {
      v1::Saved& saved = *list.Add();
      saved.set_number(number);
      saved.set_pods(hello_.pods());
    }
  }

  const std::string address_;
  FakeStorage& storage_;
  const std::string credential_;
  std::mutex mutex_;
  v1::Hello hello_;
  v1::Welcome welcome_;
  std::string refusal_;
  std::string drain_reason_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<v1::Coordinator::Stub> stub_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::FromWarden, v1::ToWarden>> stream_;
  std::thread reader_;
};

inline v1::Hello MakeHello(uint32_t job_id, uint32_t restart_count, uint32_t pod,
                           const std::vector<std::string>& nodes, uid_t uid) {
  v1::Hello hello;
  hello.set_protocol(protocol::kProtocolVersion);
  hello.set_job_id(job_id);
  hello.set_restart_count(restart_count);
  hello.set_pod(pod);
  hello.set_pods(static_cast<uint32_t>(nodes.size()));
  hello.set_node(nodes[pod]);
  hello.set_address("10.0.0." + std::to_string(pod + 1));
  hello.set_mtu(1500 - pod);
  hello.set_uid(uid);
  hello.set_job_options(EncodeOptions({.checkpoint = true, .directory = "/ckpt", .keep = 2}));
  return hello;
}

}  // namespace holdfast::coordinator
