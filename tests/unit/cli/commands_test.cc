#include "cli/commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <sstream>

#include "base/files.h"

namespace holdfast::cli {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

// A coordinator that gives one answer and remembers what it was asked.
class FakeApi : public Api {
 public:
  FakeApi(std::vector<std::string>& requests, const Result<json>& answer)
      : requests_(requests), answer_(answer) {}
  Result<json> Get(const std::string& target) override {
    requests_.push_back("GET " + target);
    return answer_;
  }
  Result<json> Post(const std::string& target, const json& body) override {
    requests_.push_back("POST " + target + " " + body.dump());
    return answer_;
  }

 private:
  std::vector<std::string>& requests_;
  const Result<json>& answer_;
};

class CommandsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "holdfast-cli-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    ASSERT_TRUE(WriteFile(directory_ + "/holdfast.yaml", "coordinator: {host: ctl}\n"));
  }
  void TearDown() override { ASSERT_TRUE(RemoveTree(directory_)); }

  ExitCode RunWith(std::vector<std::string> arguments) {
    out_.str("");
    err_.str("");
    requests_.clear();
    return cli::Run(std::move(arguments), {.out = out_,
                                           .err = err_,
                                           .config_path = directory_ + "/holdfast.yaml",
                                           .connect = [this](const config::Config& config) {
                                             host_ = config.coordinator.host;
                                             return std::make_unique<FakeApi>(requests_, answer_);
                                           }});
  }

  static json Committed() {
    return {{"job_id", 7},
            {"checkpoint",
             {{"number", 3},
              {"state", "committed"},
              {"committed_unix_ns", 1},
              {"commit_ns", 1'200'000'000},
              {"raw_bytes", 512 << 20},
              {"stored_bytes", 20 << 20},
              {"processes", 6}}}};
  }

  std::string directory_;
  std::ostringstream out_;
  std::ostringstream err_;
  std::string host_;
  std::vector<std::string> requests_;
  Result<json> answer_ = json::object();
};

TEST_F(CommandsTest, ListAsksTheConfiguredCoordinator) {
  answer_ = json{{"jobs", json::array()}};
  EXPECT_EQ(RunWith({"list"}), ExitCode::kOk);
  EXPECT_EQ(host_, "ctl");
  EXPECT_THAT(requests_, ElementsAre("GET /v1/jobs"));
  EXPECT_THAT(out_.str(), StartsWith("JOB"));
  EXPECT_EQ(err_.str(), "");
}

TEST_F(CommandsTest, JsonIsTheCoordinatorsAnswer) {
  answer_ = json{{"jobs", {{{"job_id", 7}}}}};
  for (const auto& arguments : {std::vector<std::string>{"--json", "list"}, {"list", "--json"}}) {
    EXPECT_EQ(RunWith(arguments), ExitCode::kOk);
    EXPECT_EQ(json::parse(out_.str()), *answer_);
  }
}

TEST_F(CommandsTest, SaveWaitsAndTells) {
  answer_ = Committed();
  EXPECT_EQ(RunWith({"save", "7"}), ExitCode::kOk);
  EXPECT_THAT(requests_, ElementsAre(R"(POST /v1/jobs/7/save?wait=600 {"stop":false})"));
  EXPECT_EQ(out_.str(),
            "job 7: checkpoint 3 committed in 1.20 s: 512.0 MiB of 6 processes, 20.0 MiB stored\n");
  EXPECT_EQ(RunWith({"save", "7", "--stop"}), ExitCode::kOk);
  EXPECT_THAT(requests_, ElementsAre(R"(POST /v1/jobs/7/save?wait=600 {"stop":true})"));
  EXPECT_THAT(out_.str(), HasSubstr("; the job is held\n"));
}

TEST_F(CommandsTest, ASaveThatIsNotOverIsNoSuccess) {
  answer_ = Committed();
  (*answer_)["checkpoint"]["committed_unix_ns"] = nullptr;
  EXPECT_EQ(RunWith({"save", "7"}), ExitCode::kUnavailable);
  EXPECT_EQ(out_.str(), "");
  EXPECT_THAT(err_.str(), HasSubstr("still being made"));
}

TEST_F(CommandsTest, MigrateAndResumeNameNodes) {
  answer_ = Committed();
  EXPECT_EQ(RunWith({"migrate", "7"}), ExitCode::kOk);
  EXPECT_THAT(requests_, ElementsAre("POST /v1/jobs/7/migrate?wait=600 {}"));
  EXPECT_EQ(RunWith({"migrate", "7", "--nodes", "2"}), ExitCode::kOk);
  EXPECT_THAT(requests_.back(), R"(POST /v1/jobs/7/migrate?wait=600 {"nodes":2})");
  requests_.clear();
  EXPECT_EQ(RunWith({"migrate", "7", "--exclude", "n[1-2]"}), ExitCode::kOk);
  EXPECT_THAT(requests_,
              ElementsAre(R"(POST /v1/jobs/7/migrate?wait=600 {"exclude":["n1","n2"]})"));
  answer_ = json{{"job_id", 7}};
  EXPECT_EQ(RunWith({"resume", "7", "--exclude=n3", "--checkpoint", "2"}), ExitCode::kOk);
  EXPECT_THAT(requests_,
              ElementsAre(R"(POST /v1/jobs/7/resume {"checkpoint":2,"exclude":["n3"]})"));
  EXPECT_EQ(RunWith({"resume", "7", "--from-start"}), ExitCode::kOk);
  EXPECT_THAT(requests_, ElementsAre(R"(POST /v1/jobs/7/resume {"from_start":true})"));
  EXPECT_EQ(out_.str(), "job 7 is released\n");
}

TEST_F(CommandsTest, ATaskOfAnArrayIsKnownByBothItsNumbers) {
  answer_ = json{{"job_id", 71}, {"array_job_id", 7}, {"array_task_id", 1}};
  EXPECT_EQ(RunWith({"resume", "7_1"}), ExitCode::kOk) << err_.str();
  EXPECT_THAT(requests_, ElementsAre("GET /v1/jobs/7_1", "POST /v1/jobs/71/resume {}"));
  EXPECT_EQ(out_.str(), "job 7_1 is released\n");
  EXPECT_EQ(RunWith({"show", "7_1"}), ExitCode::kOk);
  EXPECT_THAT(out_.str(), StartsWith("job 7_1 (71) of"));
}

TEST_F(CommandsTest, EvacuateAsksForEachNode) {
  answer_ = json{{"node", "n1"}, {"jobs", {12, 13}}};
  EXPECT_EQ(RunWith({"evacuate", "n[1-2]", "--reason", "new disks"}), ExitCode::kOk) << err_.str();
  EXPECT_THAT(requests_, ElementsAre("POST /v1/nodes/n1/evacuate {\"reason\":\"new disks\"}",
                                     "POST /v1/nodes/n2/evacuate {\"reason\":\"new disks\"}"));
  EXPECT_THAT(out_.str(), StartsWith("n1: jobs 12,13 are leaving\n"));
  EXPECT_EQ(RunWith({"--json", "evacuate", "n1"}), ExitCode::kOk);
  EXPECT_THAT(requests_, ElementsAre("POST /v1/nodes/n1/evacuate {}"));
  EXPECT_EQ(json::parse(out_.str()), json::array({*answer_}));
  EXPECT_EQ(RunWith({"evacuate", "n["}), ExitCode::kUsage);
  EXPECT_EQ(RunWith({"evacuate"}), ExitCode::kUsage);
}

TEST_F(CommandsTest, AWrongCommandLineAsksNobody) {
  const std::vector<std::string> kCases[] = {
      {},
      {"explode"},
      {"show"},
      {"show", "x"},
      {"show", "0"},
      {"show", "4294967296"},
      {"show", "7_"},
      {"show", "_7"},
      {"show", "7_1_1"},
      {"show", "7", "8"},
      {"list", "--stop"},
      {"save", "7", "--exclude", "n1"},
      {"migrate", "7", "--exclude", "n[1"},
      {"resume", "7", "--from-start", "--checkpoint", "2"},
      {"resume", "7", "--checkpoint", "-1"},
  };
  for (const auto& arguments : kCases) {
    EXPECT_EQ(RunWith(arguments), ExitCode::kUsage) << json(arguments).dump();
    EXPECT_TRUE(requests_.empty());
    EXPECT_EQ(out_.str(), "");
    EXPECT_NE(err_.str(), "");
  }
}

TEST_F(CommandsTest, HelpAndVersionAreResults) {
  EXPECT_EQ(RunWith({"--help"}), ExitCode::kOk);
  EXPECT_THAT(out_.str(), HasSubstr("migrate"));
  EXPECT_EQ(RunWith({"--version"}), ExitCode::kOk);
  EXPECT_EQ(out_.str(), "holdfast " HOLDFAST_VERSION "\n");
  EXPECT_EQ(err_.str(), "");
}

TEST_F(CommandsTest, ErrorsHaveTheirExitCodeAndSayWhatWasTried) {
  const std::pair<Code, ExitCode> kCases[] = {
      {Code::kNotFound, ExitCode::kNotFound},   {Code::kDenied, ExitCode::kDenied},
      {Code::kConflict, ExitCode::kConflict},   {Code::kUnavailable, ExitCode::kUnavailable},
      {Code::kTimeout, ExitCode::kUnavailable}, {Code::kInvalid, ExitCode::kUsage},
      {Code::kUnsupported, ExitCode::kFailed},  {Code::kNoSpace, ExitCode::kFailed},
  };
  for (const auto& [code, exit_code] : kCases) {
    answer_ = Fail(code, "because");
    EXPECT_EQ(RunWith({"save", "7"}), exit_code);
    EXPECT_EQ(out_.str(), "");
    EXPECT_THAT(err_.str(), StartsWith("holdfast: saving job 7: because\n"));
  }
}

TEST_F(CommandsTest, AnAnswerOfAnotherShapeIsAnErrorToo) {
  answer_ = json{{"surprise", 1}};
  EXPECT_EQ(RunWith({"save", "7"}), ExitCode::kFailed);
  EXPECT_THAT(err_.str(), HasSubstr("not understood"));
}

TEST_F(CommandsTest, AConfigurationThatCannotBeReadIsReported) {
  ASSERT_TRUE(WriteFile(directory_ + "/holdfast.yaml", "coordinater: {}\n"));
  EXPECT_EQ(RunWith({"list"}), ExitCode::kFailed);
  EXPECT_THAT(err_.str(), HasSubstr("did you mean 'coordinator'?"));
  ASSERT_TRUE(RemoveTree(directory_ + "/holdfast.yaml"));
  EXPECT_EQ(RunWith({"list"}), ExitCode::kFailed);
  EXPECT_TRUE(requests_.empty());
}

TEST_F(CommandsTest, AFullStdoutIsAFailure) {
  answer_ = json{{"jobs", json::array()}};
  out_.setstate(std::ios::badbit);
  EXPECT_EQ(cli::Run({"list"}, {.out = out_,
                                .err = err_,
                                .config_path = directory_ + "/holdfast.yaml",
                                .connect =
                                    [this](const config::Config&) {
                                      return std::make_unique<FakeApi>(requests_, answer_);
                                    }}),
            ExitCode::kFailed);
  EXPECT_THAT(err_.str(), HasSubstr("stdout"));
}

TEST_F(CommandsTest, WhyIsTheJobsOwn) {
  answer_ =
      json{{"job_id", 7},
           {"uid", 1},
           {"state", "held"},
           {"events", json::array()},
           {"why", {{{"about", "held"}, {"text", "as asked"}, {"next", "holdfast resume 7"}}}}};
  EXPECT_EQ(RunWith({"why", "7"}), ExitCode::kOk);
  EXPECT_THAT(requests_, ElementsAre("GET /v1/jobs/7"));
  EXPECT_THAT(out_.str(), HasSubstr("next: holdfast resume 7"));
  EXPECT_EQ(RunWith({"why", "7", "--json"}), ExitCode::kOk);
  const json shown = json::parse(out_.str());
  EXPECT_EQ(shown["why"][0]["next"], "holdfast resume 7");
  EXPECT_FALSE(shown.contains("events")) << "which show has";
}

TEST_F(CommandsTest, SettingsAreCheckedAndListedWithoutACoordinator) {
  EXPECT_EQ(RunWith({"config", "check"}), ExitCode::kOk);
  EXPECT_THAT(out_.str(), HasSubstr("valid"));
  ASSERT_TRUE(WriteFile(directory_ + "/bad.yaml", "checkpoint: {keep: many}\n"));
  EXPECT_EQ(RunWith({"config", "check", directory_ + "/bad.yaml"}), ExitCode::kFailed);
  EXPECT_THAT(err_.str(), HasSubstr("bad.yaml:1:20: 'many' is not accepted for checkpoint.keep"));
  EXPECT_EQ(RunWith({"config", "reference", "--json"}), ExitCode::kOk);
  EXPECT_EQ(json::parse(out_.str()).size(), config::Settings().size());
  EXPECT_THAT(requests_, ElementsAre());
}

TEST_F(CommandsTest, ASlipIsAnsweredWithWhatWasMeant) {
  EXPECT_EQ(RunWith({"shwo", "7"}), ExitCode::kUsage);
  EXPECT_THAT(err_.str(), HasSubstr("did you mean 'show'?"));
}

}  // namespace
}  // namespace holdfast::cli
