// What the REST API's resources say, through the server, as their callers see them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <nlohmann/json.hpp>

#include "protocol/rest.h"
#include "tests/unit/coordinator/rest_fixture.h"

namespace holdfast::coordinator {
namespace {

using nlohmann::json;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class RestResourcesTest : public RestTest {
 protected:
  struct Answer {
    int status = 0;
    json body;
    std::string location;
  };
  Answer Ask(uid_t uid, const std::string& method, const std::string& path,
             const std::string& body = "") {
    authenticator_.Forget();
    httplib::Client client("127.0.0.1", server_->port());
    client.set_read_timeout(20);
    client.set_url_encode(false);  // the credential is for the target as it is
    const httplib::Headers headers{
        {"Authorization",
         "Munge " + std::to_string(uid) + ":" + protocol::RestPurpose(method, path, body)}};
    const httplib::Result result = method == "GET" ? client.Get(path, headers)
                                   : method == "DELETE"
                                       ? client.Delete(path, headers)
                                       : client.Post(path, headers, body, "application/json");
    if (!result) return {};
    return {result->status, json::parse(result->body, nullptr, false),
            result->get_header_value("Location")};
  }
  std::vector<uint32_t> IdsOf(const Answer& answer) {
    std::vector<uint32_t> ids;
    for (const json& job : answer.body["jobs"]) ids.push_back(job["job_id"]);
    return ids;
  }
  // Jobs 11 to 15, each on n1; all run.
  void StartJobs() {
    for (uint32_t id = 11; id <= 15; ++id) {
      slurm_.Run(id, kUser, {"n1"});
      slurm_.Change(id, [&](Record& job) {
        job.state_name = "RUNNING";
        job.partition = id % 2 == 0 ? "even" : "odd";
        job.account = id < 13 ? "low" : "high";
      });
      kept_.push_back(
          std::make_unique<FakeWarden>(address(), storage_, MakeHello(id, 0, 0, {"n1"}, kUser)));
    }
    for (uint32_t id = 11; id <= 15; ++id) {
      ASSERT_TRUE(Reaches(Stage::kRunning, id));
      ASSERT_TRUE(Eventually([&] { return Get(id).partition != ""; }));
    }
  }
  void Save(uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
      ASSERT_TRUE(Eventually([&] { return Get().can_save() && Get().stage == Stage::kRunning; }));
      ASSERT_EQ(Ask(kUser, "POST", job_path_ + "/save?wait=10").status, 200);
    }
    ASSERT_TRUE(Reaches(Stage::kRunning));
  }

  const std::string job_path_ = "/v1/jobs/4242";
  std::vector<std::unique_ptr<FakeWarden>> kept_;
};

TEST_F(RestResourcesTest, JobsComeInPages) {
  StartJobs();
  Answer page = Ask(kUser, "GET", "/v1/jobs?limit=2");
  EXPECT_THAT(IdsOf(page), ElementsAre(11, 12));
  page = Ask(kUser, "GET", "/v1/jobs?limit=2&cursor=" + page.body["next"].get<std::string>());
  EXPECT_THAT(IdsOf(page), ElementsAre(13, 14));
  page = Ask(kUser, "GET", "/v1/jobs?limit=2&cursor=" + page.body["next"].get<std::string>());
  EXPECT_THAT(IdsOf(page), ElementsAre(15));
  EXPECT_TRUE(page.body["next"].is_null());
  EXPECT_TRUE(Ask(kUser, "GET", "/v1/jobs?limit=5").body["next"].is_null());
  EXPECT_THAT(IdsOf(Ask(1001, "GET", "/v1/jobs")), IsEmpty());
}

TEST_F(RestResourcesTest, JobsAreFiltered) {
  StartJobs();
  EXPECT_THAT(IdsOf(Ask(kUser, "GET", "/v1/jobs?partition=even")), ElementsAre(12, 14));
  EXPECT_THAT(IdsOf(Ask(kUser, "GET", "/v1/jobs?partition=even&limit=1")), ElementsAre(12));
  EXPECT_THAT(IdsOf(Ask(0, "GET", "/v1/jobs?user=1000&limit=1")), ElementsAre(11));
  EXPECT_THAT(IdsOf(Ask(0, "GET", "/v1/jobs?user=root")), IsEmpty());
  ASSERT_EQ(Ask(kUser, "POST", "/v1/jobs/13/stop").status / 100, 2);
  ASSERT_TRUE(Reaches(Stage::kHeld, 13));
  EXPECT_THAT(IdsOf(Ask(kUser, "GET", "/v1/jobs?state=held")), ElementsAre(13));
  EXPECT_THAT(IdsOf(Ask(kUser, "GET", "/v1/jobs?state=PENDING")), ElementsAre(13));
  EXPECT_THAT(IdsOf(Ask(kUser, "GET", "/v1/jobs?state=held,running&partition=odd")),
              ElementsAre(11, 13, 15));
}

TEST_F(RestResourcesTest, OperatorsReachAllJobsAndCoordinatorsThoseOfTheirAccounts) {
  slurm_.Grant({.name = "daemon", .level = SlurmUser::Level::kOperator, .coordinates = {}});
  slurm_.Grant({.name = "bin", .level = SlurmUser::Level::kNone, .coordinates = {"low"}});
  slurm_.Grant({.name = "sys", .level = SlurmUser::Level::kAdministrator, .coordinates = {}});
  server_ = std::make_unique<RestServer>(*controller_, slurm_, authenticator_, metrics_);
  ASSERT_TRUE(server_->Listen("127.0.0.1", 0));
  StartJobs();
  ASSERT_TRUE(Eventually([&] { return IdsOf(Ask(1, "GET", "/v1/jobs")).size() == 5; }));
  EXPECT_THAT(IdsOf(Ask(2, "GET", "/v1/jobs")), ElementsAre(11, 12));
  EXPECT_THAT(IdsOf(Ask(3, "GET", "/v1/jobs")).size(), 5U);
  EXPECT_EQ(Ask(2, "POST", "/v1/jobs/11/save?wait=10").status, 200);
  EXPECT_EQ(Ask(2, "POST", "/v1/jobs/13/save").status, 404);
  EXPECT_EQ(Ask(1, "POST", "/v1/jobs/13/save?wait=10").status, 200);
  EXPECT_EQ(Ask(1, "POST", "/v1/nodes/n4/evacuate").status, 403) << "Slurm lets no operator";
  EXPECT_EQ(Ask(3, "POST", "/v1/nodes/n4/evacuate").status, 202);
  EXPECT_EQ(Ask(2, "GET", "/v1/expired").status, 403);
}

TEST_F(RestResourcesTest, WhatIsUnderWayCanBeFollowed) {
  StartJob({"n1", "n2"});
  ASSERT_TRUE(Reaches(Stage::kRunning));
  wardens_[0]->hold_commit = true;
  const Answer begun = Ask(kUser, "POST", job_path_ + "/save");
  ASSERT_EQ(begun.status, 202);
  ASSERT_EQ(begun.location, job_path_ + "/checkpoints/1");
  ASSERT_TRUE(Reaches(Stage::kCommitting));
  const json progress = Ask(kUser, "GET", begun.location).body["checkpoint"]["progress"];
  EXPECT_EQ(progress, json({{"stage", "committing"}, {"pods", 2}, {"pods_saved", 2}}));
  v1::FromWarden committed;
  committed.mutable_committed()->set_checkpoint(1);
  wardens_[0]->Send(committed);
  ASSERT_TRUE(Reaches(Stage::kRunning));
  const json done = Ask(kUser, "GET", begun.location).body["checkpoint"];
  EXPECT_EQ(done["state"], "committed");
  EXPECT_TRUE(done["progress"].is_null());
  EXPECT_EQ(Ask(kUser, "GET", job_path_ + "/checkpoints").body["checkpoints"].size(), 1U);
  EXPECT_EQ(Ask(kUser, "GET", job_path_ + "/checkpoints/2").status, 404);
  EXPECT_EQ(Ask(1001, "GET", begun.location).status, 404);
}

TEST_F(RestResourcesTest, ACheckpointIsRemovedWhenNothingNeedsIt) {
  StartJob({"n1"});
  Save(3);
  const auto path = [&](int number) {
    return job_path_ + "/checkpoints/" + std::to_string(number);
  };
  EXPECT_EQ(Ask(kUser, "DELETE", path(3)).status, 409) << "the newest";
  EXPECT_EQ(Ask(1001, "DELETE", path(1)).status, 404) << "somebody else's";
  EXPECT_EQ(Ask(kUser, "DELETE", path(9)).status, 404);
  EXPECT_EQ(Ask(kUser, "DELETE", path(1)).status, 202);
  EXPECT_EQ(Ask(kUser, "DELETE", path(1)).status, 202) << "again";
  EXPECT_EQ(Ask(kUser, "GET", path(1)).body["checkpoint"]["state"], "removing");
  EXPECT_THAT(Get().saved, ElementsAre(2, 3));
  const json unwanted = Ask(0, "GET", "/v1/expired").body["unwanted"];
  ASSERT_EQ(unwanted.size(), 1U);
  EXPECT_EQ(unwanted[0]["checkpoints"], json::array({1}));

  Save(1);  // pod 0 tells of what is in storage, and that is still there
  EXPECT_THAT(Get().saved, ElementsAre(2, 3, 4));
  EXPECT_EQ(Ask(kUser, "POST", job_path_ + "/removed", R"({"checkpoints":[1]})").status, 200);
  EXPECT_EQ(Ask(kUser, "GET", path(1)).body["checkpoint"]["state"], "removed");
  EXPECT_THAT(Ask(0, "GET", "/v1/expired").body["unwanted"], IsEmpty());
}

TEST_F(RestResourcesTest, OfAnEndedJobAllCanBeRemoved) {
  StartJob({"n1"});
  Save(2);
  slurm_.Change(kJob, [](Record& job) {
    job.state = Record::State::kTerminal;
    job.state_name = "CANCELLED";
  });
  wardens_.clear();
  ASSERT_TRUE(Reaches(Stage::kEnded));
  EXPECT_EQ(Ask(kUser, "DELETE", job_path_ + "/checkpoints/2").status, 202);
  EXPECT_THAT(Ask(0, "GET", "/v1/expired").body["jobs"], IsEmpty());
  EXPECT_EQ(Ask(0, "GET", "/v1/expired").body["unwanted"].size(), 1U);
  EXPECT_EQ(Ask(kUser, "DELETE", job_path_ + "/checkpoints/1").status, 202);
  EXPECT_EQ(Ask(0, "GET", "/v1/expired").body["jobs"].size(), 1U) << "nothing is wanted any more";
  EXPECT_THAT(Ask(0, "GET", "/v1/expired").body["unwanted"], IsEmpty());
}

TEST_F(RestResourcesTest, StopHoldsUntilItIsResumed) {
  StartJob({"n1"});
  ASSERT_TRUE(Reaches(Stage::kRunning));
  EXPECT_EQ(Ask(1001, "POST", job_path_ + "/stop").status, 404);
  EXPECT_THAT(Ask(kUser, "POST", job_path_ + "/stop?wait=10").status, AnyOf(200, 202));
  ASSERT_TRUE(Reaches(Stage::kHeld));
  EXPECT_EQ(Ask(kUser, "POST", job_path_ + "/resume").status, 202);
  EXPECT_TRUE(Eventually([&] { return !slurm_.Get(kJob).held; }));
}

TEST_F(RestResourcesTest, AJobGoesToTheNodesThatAreNamed) {
  StartJob({"n1", "n2"});
  ASSERT_TRUE(Reaches(Stage::kRunning));
  const std::string path = job_path_ + "/migrate";
  EXPECT_EQ(Ask(kUser, "POST", path, R"({"onto":["n9"]})").status, 400);
  EXPECT_EQ(Ask(kUser, "POST", path, R"({"onto":["n3"],"exclude":["n1"]})").status, 400);
  EXPECT_EQ(Ask(kUser, "POST", path + "?wait=10", R"({"onto":["n3","n4"]})").status, 200);
  ASSERT_TRUE(Reaches(Stage::kWaiting));
  EXPECT_TRUE(Eventually(
      [&] { return slurm_.Get(kJob).excluded == std::vector<std::string>{"n1", "n2"}; }));
}

TEST_F(RestResourcesTest, NodesTellWhatHappensToThem) {
  StartJobs();
  Answer page = Ask(kUser, "GET", "/v1/nodes?limit=3");
  ASSERT_EQ(page.body["nodes"].size(), 3U);
  EXPECT_EQ(page.body["nodes"][0]["name"], "n1");
  EXPECT_EQ(page.body["nodes"][0]["jobs"], json::array({11, 12, 13, 14, 15}));
  EXPECT_TRUE(page.body["nodes"][0]["notice"].is_null());
  EXPECT_EQ(page.body["next"], "n3");
  page = Ask(kUser, "GET", "/v1/nodes?limit=3&cursor=n3");
  EXPECT_EQ(page.body["nodes"].size(), 1U);
  EXPECT_THAT(Ask(1001, "GET", "/v1/nodes").body["nodes"][0]["jobs"], IsEmpty());
  ASSERT_EQ(Ask(0, "POST", "/v1/nodes/n1/evacuate", R"({"reason":"new disk"})").status, 202);
  EXPECT_TRUE(Eventually([&] {
    const json node = Ask(kUser, "GET", "/v1/nodes").body["nodes"][0];
    return node["draining"] == true && node["notice"].is_object() &&
           node["notice"]["reason"] == "evacuate";
  }));
}

TEST_F(RestResourcesTest, WhoAsksTooOftenIsToldWhenToComeBack) {
  ASSERT_TRUE(server_->Apply({.requests_each_minute = 3}));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Ask(kUser, "GET", "/v1/jobs").status, 200);
  const Answer refused = Ask(kUser, "GET", "/v1/jobs");
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.body["code"], "too-many-requests");
  EXPECT_EQ(Ask(1001, "GET", "/v1/jobs").status, 200) << "somebody else";
  for (int i = 0; i < 9; ++i) EXPECT_EQ(Ask(0, "GET", "/v1/jobs").status, 200) << "root";
}

}  // namespace
}  // namespace holdfast::coordinator
