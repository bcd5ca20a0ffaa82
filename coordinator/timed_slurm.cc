#include "coordinator/timed_slurm.h"

#include <chrono>
#include <type_traits>
#include <utility>

namespace holdfast::coordinator {
namespace {

class TimedSlurm final : public SlurmClient {
 public:
  TimedSlurm(std::unique_ptr<SlurmClient> slurm, Metrics& metrics)
      : slurm_(std::move(slurm)), metrics_(metrics) {}

  Result<Record> Load(uint32_t job_id) override {
    return Time("load", [&] { return slurm_->Load(job_id); });
  }
  Result<std::vector<Record>> LoadMany(const std::vector<uint32_t>& job_ids) override {
    return Time("load", [&] { return slurm_->LoadMany(job_ids); });
  }
  Result<std::vector<Record>> Poll(const std::vector<uint32_t>& job_ids) override {
    return Time("poll", [&] { return slurm_->Poll(job_ids); });
  }
  Status Requeue(uint32_t job_id, const coordinator::Requeue& how) override {
    return Time("requeue", [&] { return slurm_->Requeue(job_id, how); });
  }
  Status Apply(uint32_t job_id, const Amend& amend) override {
    return Time("amend", [&] { return slurm_->Apply(job_id, amend); });
  }
  Status Cancel(uint32_t job_id) override {
    return Time("cancel", [&] { return slurm_->Cancel(job_id); });
  }
  Status SetComment(uint32_t job_id, const std::string& text) override {
    return Time("comment", [&] { return slurm_->SetComment(job_id, text); });
  }
  Result<std::vector<NodeRecord>> LoadNodes() override {
    return Time("nodes", [&] { return slurm_->LoadNodes(); });
  }
  Status Drain(const std::string& node, const std::string& reason) override {
    return Time("drain", [&] { return slurm_->Drain(node, reason); });
  }
  Result<std::vector<SlurmUser>> LoadUsers() override {
    return Time("users", [&] { return slurm_->LoadUsers(); });
  }
  Result<Cluster> LoadCluster() override {
    return Time("cluster", [&] { return slurm_->LoadCluster(); });
  }

 private:
  template <typename Request>
  std::invoke_result_t<Request> Time(const char* name, Request request) {
    const auto begin = std::chrono::steady_clock::now();
    auto answer = request();
    metrics_.Observe(Metric::kSlurm, std::chrono::steady_clock::now() - begin, {name});
    if (!answer) metrics_.Add(Metric::kSlurmFailures, {name, CodeName(answer.error().code())});
    return answer;
  }

  const std::unique_ptr<SlurmClient> slurm_;
  Metrics& metrics_;
};

}  // namespace

std::unique_ptr<SlurmClient> TimeRequests(std::unique_ptr<SlurmClient> slurm, Metrics& metrics) {
  return std::make_unique<TimedSlurm>(std::move(slurm), metrics);
}

}  // namespace holdfast::coordinator
