#include "cli/checkpoints.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <map>

#include "base/files.h"
#include "storage/layout.h"
#include "tests/unit/storage/test_job.h"

namespace holdfast::cli {
namespace {

using namespace storage;
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr uid_t kSomebody = 4711;

// Knows what it is told to, by target, and nothing else.
class FakeCoordinator : public Api {
 public:
  Result<json> Get(const std::string& target) override {
    const auto found = answers.find(target);
    if (found == answers.end()) return Fail(Code::kNotFound, "job is not known here");
    return found->second;
  }
  Result<json> Post(const std::string& target, const json& body) override {
    posted.push_back(target + " " + body.dump());
    return json::object();
  }
  std::map<std::string, Result<json>> answers;
  std::vector<std::string> posted;
};

class CheckpointsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "holdfast-checkpoints-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    config_.node.key_file = directory_ + "/site.key";
    auto store = JobStore::Open(directory_, kJob, CurrentIdentity(), kSiteKey);
    ASSERT_OK(store);
    store_ = std::move(*store);
    ASSERT_OK(store_->Prepare());
    for (uint32_t number = 1; number <= 4; ++number) {
      memory_[number * kExtentBytes] ^= std::byte{1};
      const auto part = WritePod(*store_, number, 0, memory_);
      ASSERT_OK(part);
      Manifest manifest = ManifestOf(number, {*part});
      manifest.uid = ::geteuid();
      ASSERT_OK(store_->Commit(manifest));
    }
    Forget();
    SetRecord({{"state", "running"}});
  }
  // All jobs.
  void Forget() {
    coordinator_.answers.clear();
    coordinator_.answers.insert_or_assign("/v1/health", json{{"cluster", kJob.cluster}});
  }
  void TearDown() override { ASSERT_OK(RemoveTree(directory_)); }

  void SetRecord(const json& changes) {
    json record{{"job_id", kJobId},
                {"cluster", kJob.cluster},
                {"submitted", kJob.submitted},
                {"uid", kSomebody},
                {"state", "running"},
                {"restored_from", nullptr},
                {"options", {{"directory", directory_}, {"keep", 2}}}};
    record.update(changes);
    coordinator_.answers.insert_or_assign("/v1/jobs/4242", record);
  }
  Checkpoints As(uid_t uid) { return {config_, coordinator_, uid}; }
  void GiveSiteKey() {
    if (::geteuid() != 0) GTEST_SKIP() << "a site key belongs to root; this does not run as root";
    std::string hex = "010203";
    ASSERT_OK(WriteFile(config_.node.key_file, hex + std::string(64 - hex.size(), '0'), 0400));
  }
  std::string Path(const std::string& key) {
    return directory_ + "/" + kJob.Directory() + "/" + key;
  }
  void Damage(const std::string& key) {
    auto contents = ReadFile(Path(key));
    ASSERT_OK(contents);
    (*contents)[contents->size() / 2] ^= 1;
    ASSERT_OK(WriteFile(Path(key), *contents));
  }

  std::string directory_;
  config::Config config_;
  FakeCoordinator coordinator_;
  std::unique_ptr<JobStore> store_;
  Bytes memory_ = RandomBytes(6 * kExtentBytes, 1);
};

TEST_F(CheckpointsTest, ItsUserPrunesToWhatTheJobAskedFor) {
  const auto pruned = As(kSomebody).Prune({.job = kJobId});
  ASSERT_OK(pruned);
  EXPECT_EQ(pruned->at("removed"), json::array({1, 2}));
  EXPECT_EQ(pruned->at("kept"), json::array({3, 4}));
  EXPECT_GT(pruned->at("freed_bytes"), 0);
  EXPECT_THAT(coordinator_.posted, ElementsAre(R"(/v1/jobs/4242/removed {"checkpoints":[1,2]})"));
}

TEST_F(CheckpointsTest, WhatTheJobWasRestoredFromStaysWhileItRuns) {
  SetRecord({{"restored_from", {{"job_id", kJobId}, {"checkpoint", 1}}}});
  const auto pruned = As(kSomebody).Prune({.job = kJobId, .keep = 1});
  ASSERT_OK(pruned);
  EXPECT_EQ(pruned->at("kept"), json::array({1, 4}));
  SetRecord({{"state", "ended"}, {"restored_from", {{"job_id", kJobId}, {"checkpoint", 1}}}});
  EXPECT_EQ(As(kSomebody).Prune({.job = kJobId, .keep = 1})->at("kept"), json::array({4}));
}

TEST_F(CheckpointsTest, AllGoOnlyWhenTheJobHasEnded) {
  for (const char* state : {"running", "held", "waiting", "restoring", "ending"}) {
    SetRecord({{"state", state}});
    const auto refused = As(kSomebody).Prune({.job = kJobId, .keep = 0});
    EXPECT_CODE(refused, Code::kConflict);
    EXPECT_THAT(refused.error().message(), HasSubstr(state));
  }
  EXPECT_EQ(store_->List()->good.size(), 4u);
  SetRecord({{"state", "ended"}});
  ASSERT_OK(As(kSomebody).Prune({.job = kJobId, .keep = 0}));
  EXPECT_FALSE(std::filesystem::exists(Path("")));
  EXPECT_THAT(coordinator_.posted, ElementsAre(R"(/v1/jobs/4242/removed {"all":true})"));
}

TEST_F(CheckpointsTest, AForgottenJobIsFoundByItsDirectory) {
  Forget();
  const auto unknown = As(kSomebody).Prune({.job = kJobId});
  EXPECT_CODE(unknown, Code::kNotFound);
  EXPECT_THAT(unknown.error().message(), HasSubstr("--checkpoint-dir"));
  const auto pruned = As(kSomebody).Prune({.job = kJobId, .keep = 0, .directory = directory_});
  ASSERT_OK(pruned);
  EXPECT_EQ(pruned->at("removed"), json::array({1, 2, 3, 4}));
  EXPECT_TRUE(coordinator_.posted.empty());
}

// The coordinator knows which cluster it is of, and its checkpoints do not.
TEST_F(CheckpointsTest, AJobOfAnEarlierReleaseIsFoundWhereThatKeptIt) {
  const JobName old{.id = kJobId};
  const auto store = JobStore::Open(directory_, old, CurrentIdentity(), kSiteKey);
  ASSERT_OK(store);
  ASSERT_OK((*store)->Prepare());
  const auto part = WritePod(**store, 1, 0, memory_);
  ASSERT_OK(part);
  Manifest manifest = ManifestOf(1, {*part});
  manifest.job = old;
  manifest.uid = ::geteuid();
  ASSERT_OK((*store)->Commit(manifest));
  SetRecord({{"submitted", ""}});
  const auto verified = As(kSomebody).Verify({.job = kJobId});
  ASSERT_OK(verified);
  ASSERT_EQ(verified->at("checkpoints").size(), 1u);
  EXPECT_EQ(verified->at("checkpoints")[0].at("state"), "good") << verified->dump();
}

// The id started again, and both jobs are long forgotten.
TEST_F(CheckpointsTest, OfSeveralJobsWithOneIdItIsToBeSaidWhich) {
  const JobName later{kJob.cluster, kJobId, "20270101T000000Z"};
  const auto store = JobStore::Open(directory_, later, CurrentIdentity(), kSiteKey);
  ASSERT_OK(store);
  ASSERT_OK((*store)->Prepare());
  // The coordinator's is the one that it knows.
  EXPECT_EQ(As(kSomebody).Verify({.job = kJobId})->at("checkpoints").size(), 4u);
  const auto elsewhere = As(kSomebody).Verify({.job = kJobId, .submitted = later.submitted});
  EXPECT_CODE(elsewhere, Code::kInvalid);
  EXPECT_THAT(elsewhere.error().message(), HasSubstr("--checkpoint-dir"));
  const Checkpoints::Request empty{
      .job = kJobId, .directory = directory_, .submitted = later.submitted};
  EXPECT_THAT(As(kSomebody).Verify(empty).error().message(), HasSubstr(later.Directory()));
  Forget();
  const auto which = As(kSomebody).Prune({.job = kJobId, .keep = 0, .directory = directory_});
  EXPECT_CODE(which, Code::kConflict);
  EXPECT_THAT(which.error().message(), HasSubstr(kJob.Directory() + ", " + later.Directory()));
  EXPECT_EQ(store_->List()->good.size(), 4u);
  const auto pruned = As(kSomebody).Prune(
      {.job = kJobId, .keep = 0, .directory = directory_, .submitted = kJob.submitted});
  ASSERT_OK(pruned);
  EXPECT_EQ(pruned->at("removed"), json::array({1, 2, 3, 4}));
  EXPECT_CODE(As(kSomebody).Prune(
                  {.job = kJobId, .keep = 0, .directory = directory_, .submitted = "yesterday"}),
              Code::kInvalid);
}

TEST_F(CheckpointsTest, WithoutTheCoordinatorsWordNothingIsRemoved) {
  coordinator_.answers.insert_or_assign("/v1/jobs/4242", Fail(Code::kUnavailable, "no answer"));
  EXPECT_CODE(As(kSomebody).Prune({.job = kJobId, .keep = 0, .directory = directory_}),
              Code::kUnavailable);
  EXPECT_EQ(store_->List()->good.size(), 4u);
}

TEST_F(CheckpointsTest, OnlyTheJobsUserAndRootMay) {
  EXPECT_CODE(As(kSomebody + 1).Prune({.job = kJobId}), Code::kDenied);
  EXPECT_CODE(As(kSomebody + 1).Verify({.job = kJobId}), Code::kDenied);
  EXPECT_CODE(As(kSomebody).Prune({.job = kJobId, .user = "root"}), Code::kInvalid);
  EXPECT_CODE(As(kSomebody).PruneExpired(), Code::kDenied);
  Forget();
  const auto whose = As(0).Prune({.job = kJobId, .directory = directory_});
  EXPECT_CODE(whose, Code::kInvalid);
  EXPECT_THAT(whose.error().message(), HasSubstr("--user"));
}

TEST_F(CheckpointsTest, RootParsesNothingThatTheSiteKeyDoesNotVouchFor) {
  SetRecord({{"uid", ::geteuid()}});
  const auto refused = As(0).Verify({.job = kJobId});
  EXPECT_CODE(refused, Code::kDenied);
  EXPECT_THAT(refused.error().message(), HasSubstr("as the job's user"));
  EXPECT_CODE(As(0).Prune({.job = kJobId}), Code::kDenied);
}

TEST_F(CheckpointsTest, VerifyReadsAllAndSaysWhatItChecked) {
  auto verified = As(kSomebody).Verify({.job = kJobId});
  ASSERT_OK(verified);
  EXPECT_EQ(verified->at("authenticated"), false);
  ASSERT_EQ(verified->at("checkpoints").size(), 4u);
  for (const json& checkpoint : verified->at("checkpoints")) {
    EXPECT_EQ(checkpoint.at("state"), "good");
    EXPECT_GE(checkpoint.at("read_bytes"), 6 * kExtentBytes);
  }
  verified = As(kSomebody).Verify({.job = kJobId, .checkpoint = 3});
  ASSERT_OK(verified);
  EXPECT_EQ(verified->at("checkpoints").size(), 1u);
  EXPECT_CODE(As(kSomebody).Verify({.job = kJobId, .checkpoint = 9}), Code::kNotFound);
}

TEST_F(CheckpointsTest, RootAlsoAuthenticates) {
  ASSERT_NO_FATAL_FAILURE(GiveSiteKey());
  if (IsSkipped()) return;
  SetRecord({{"uid", ::geteuid()}});
  const auto verified = As(0).Verify({.job = kJobId});
  ASSERT_OK(verified);
  EXPECT_EQ(verified->at("authenticated"), true);
  EXPECT_EQ(verified->at("checkpoints").size(), 4u);
}

TEST_F(CheckpointsTest, DamageIsFoundAndNamed) {
  for (const std::string& key : {PackKey(4, 0, 0), PartKey(3, 0), ManifestKey(2)}) Damage(key);
  const auto verified = As(kSomebody).Verify({.job = kJobId});
  ASSERT_OK(verified);
  std::map<uint32_t, json> checkpoints;
  for (const json& checkpoint : verified->at("checkpoints"))
    checkpoints[checkpoint.at("number").get<uint32_t>()] = checkpoint;
  EXPECT_EQ(checkpoints[1].at("state"), "good");
  for (const auto& [number, file] : {std::pair(2u, ManifestKey(2)), std::pair(3u, PartKey(3, 0)),
                                     std::pair(4u, PackKey(4, 0, 0))}) {
    EXPECT_EQ(checkpoints[number].at("state"), "damaged");
    EXPECT_THAT(checkpoints[number].at("error").get<std::string>(), HasSubstr(file));
  }
}

TEST_F(CheckpointsTest, ExpiredOnesAreRemovedJobByJob) {
  coordinator_.answers.insert_or_assign(
      "/v1/expired",
      json{{"jobs",
            {{{"job_id", 1}, {"uid", ::geteuid()}, {"gid", 0}, {"directory", "/proc/none"}},
             {{"job_id", 2}, {"uid", ::geteuid()}, {"gid", 0}, {"directory", "not a directory"}},
             {{"job_id", kJobId},
              {"cluster", kJob.cluster},
              {"submitted", kJob.submitted},
              {"uid", ::geteuid()},
              {"gid", 0},
              {"directory", directory_}}}}});
  const auto removed = As(0).PruneExpired();
  ASSERT_OK(removed);
  const json& jobs = removed->at("jobs");
  EXPECT_EQ(jobs[0].at("error"), "") << "what is not there is removed";
  EXPECT_NE(jobs[1].at("error"), "");
  EXPECT_EQ(jobs[2].at("error"), "");
  EXPECT_GT(jobs[2].at("freed_bytes"), 6 * kExtentBytes);
  EXPECT_FALSE(std::filesystem::exists(Path("")));
  EXPECT_THAT(coordinator_.posted, ElementsAre(R"(/v1/jobs/1/removed {"all":true})",
                                               R"(/v1/jobs/4242/removed {"all":true})"));
}

}  // namespace
}  // namespace holdfast::cli
