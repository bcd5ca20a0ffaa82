// A whole coordinator, real but for Slurm, MUNGE and the wardens' pods, that can be killed and
// started again.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/controller.h"
#include "coordinator/journal.h"
#include "coordinator/warden_service.h"
#include "tests/unit/coordinator/fakes.h"

namespace holdfast::coordinator {

class CoordinatorTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kJob = 4242;
  static constexpr uid_t kUser = 1000;

  void SetUp() override {
    directory_ = ::testing::TempDir() + "/coordinator_test." + std::to_string(::getpid());
    std::filesystem::create_directories(directory_);
    StartCoordinator();
  }
  void TearDown() override {
    wardens_.clear();
    StopCoordinator();
    std::filesystem::remove_all(directory_);
  }

  void StartCoordinator() {
    auto journal = Journal::Open(directory_ + "/journal.db");
    ASSERT_TRUE(journal) << journal.error().message();
    journal_ = std::move(*journal);
    Controller::Options options = options_;
    options.poll_interval = std::chrono::milliseconds(30);
    options.policy.reconnect_grace = std::chrono::milliseconds(300);
    options.policy.notice_pause = std::chrono::milliseconds(20);
    options.policy.ask_pause = std::chrono::milliseconds(20);
    options.policy.retry_pause = std::chrono::milliseconds(50);
    controller_ = std::make_unique<Controller>(options, *journal_, slurm_, metrics_);
    ASSERT_TRUE(controller_->Start());
    service_ = std::make_unique<WardenService>(*controller_, slurm_, authenticator_);
    const Status listening = service_->Listen("127.0.0.1:0");
    ASSERT_TRUE(listening) << listening.error().message();
  }
  // As if killed: nothing is told to anybody.
  void StopCoordinator() {
    if (!controller_) return;
    controller_->Stop();
    service_->Shutdown();
    service_.reset();
    controller_.reset();
    journal_.reset();
  }

  std::string address() const { return "127.0.0.1:" + std::to_string(service_->port()); }

  // Slurm starts the job, and its wardens come.
  void StartJob(const std::vector<std::string>& nodes, uint32_t job_id = kJob) {
    slurm_.Run(job_id, kUser, nodes);
    Attach(nodes, job_id);
  }
  void Attach(const std::vector<std::string>& nodes, uint32_t job_id = kJob) {
    wardens_.clear();
    const uint32_t restart_count = slurm_.Get(job_id).restart_count;
    for (uint32_t pod = 0; pod < nodes.size(); ++pod)
      wardens_.push_back(std::make_unique<FakeWarden>(
          address(), storage_, MakeHello(job_id, restart_count, pod, nodes, kUser)));
  }
  bool Reaches(Stage stage, uint32_t job_id = kJob) {
    return Eventually([&] {
      const auto job = controller_->Find(job_id);
      return job && job->stage == stage;
    });
  }
  Job Get(uint32_t job_id = kJob) { return controller_->Find(job_id).value_or(Job{}); }

  History HistoryOf(uint32_t job_id) {
    return controller_->HistoryOf(job_id, kHistoryKept).value_or(History{});
  }

  Controller::Options options_;  // times aside
  std::string directory_;
  Metrics metrics_;
  FakeSlurm slurm_;
  FakeAuthenticator authenticator_;
  FakeStorage storage_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<Controller> controller_;
  std::unique_ptr<WardenService> service_;
  std::vector<std::unique_ptr<FakeWarden>> wardens_;
};

}  // namespace holdfast::coordinator
