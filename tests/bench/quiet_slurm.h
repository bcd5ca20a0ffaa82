// Slurm for coordinator_bench, which counts what it is asked. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "coordinator/clock.h"
#include "coordinator/slurm_client.h"
#include "tests/bench/warden_crowd.h"

namespace holdfast::bench {

struct Shape {
  uint32_t jobs = 1;
  uint32_t pods = 1;
};

// All jobs run, each on nodes of its own, and nothing else ever happens.
class QuietSlurm final : public coordinator::SlurmClient {
 public:
  explicit QuietSlurm(Shape shape) : shape_(shape) {}
  Result<coordinator::Record> Load(uint32_t job_id) override {
    ++requests;
    return RecordOf(job_id);
  }
  Result<std::vector<coordinator::Record>> LoadMany(const std::vector<uint32_t>& job_ids) override {
    // As the real one: one request for all, unless they are few.
    requests += job_ids.size() <= 32 ? job_ids.size() : 1;
    std::vector<coordinator::Record> records;
    records.reserve(job_ids.size());
    for (const uint32_t job_id : job_ids) records.push_back(RecordOf(job_id));
    return records;
  }
  Status Requeue(uint32_t, const coordinator::Requeue&) override { return Count(); }
  Status Cancel(uint32_t) override { return Count(); }
  Status Apply(uint32_t, const coordinator::Amend&) override { return Count(); }
  Status SetComment(uint32_t, const std::string&) override { return Count(); }
  Result<std::vector<coordinator::NodeRecord>> LoadNodes() override {
    ++requests;
    return std::vector<coordinator::NodeRecord>{};
  }
  Status Drain(const std::string&, const std::string&) override { return Count(); }
  Result<std::vector<coordinator::SlurmUser>> LoadUsers() override { return {}; }
  Result<coordinator::Cluster> LoadCluster() override {
    return coordinator::Cluster{.name = "lab", .slurm_user = 64030};
  }

  std::atomic<uint64_t> requests = 0;

 private:
  Status Count() {
    ++requests;
    return {};
  }
  coordinator::Record RecordOf(uint32_t job_id) const {
    coordinator::Record record{.state = coordinator::Record::State::kRunning,
                               .asked_ns = coordinator::NowNs(),
                               .state_name = "RUNNING",
                               .job_id = job_id,
                               .uid = 1000,
                               .start_time = 1,
                               .partition = "batch"};
    for (uint32_t pod = 0; pod < shape_.pods; ++pod) record.nodes.push_back(NodeName(job_id, pod));
    return record;
  }
  const Shape shape_;
};

}  // namespace holdfast::bench
