#include "coordinator/rest_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/unique_fd.h"
#include "protocol/rest.h"
#include "tests/unit/coordinator/rest_fixture.h"

namespace holdfast::coordinator {
namespace {

using nlohmann::json;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

class RestServerTest : public RestTest {
 protected:
  void SetUp() override {
    RestTest::SetUp();
    StartJob({"n1", "n2"});
    ASSERT_TRUE(Reaches(Stage::kRunning));
  }

  struct Answer {
    int status = 0;
    json body;
    std::string error() const { return body["error"]["message"]; }
  };
  Answer Ask(uid_t uid, const std::string& method, const std::string& path,
             const std::string& body = "", const std::string& purpose = "") {
    const std::string payload =
        purpose.empty() ? protocol::RestPurpose(method, path, body) : purpose;
    authenticator_.Forget();  // the same request may come twice here
    return Raw(method, path, body,
               {{"Authorization", "Munge " + std::to_string(uid) + ":" + payload}});
  }
  Answer Raw(const std::string& method, const std::string& path, const std::string& body,
             const httplib::Headers& headers) {
    httplib::Client client("127.0.0.1", server_->port());
    client.set_read_timeout(20);
    const httplib::Result result = method == "GET" ? client.Get(path, headers)
                                   : method == "DELETE"
                                       ? client.Delete(path, headers)
                                       : client.Post(path, headers, body, "application/json");
    if (!result) return {};
    return {result->status, json::parse(result->body, nullptr, false)};
  }
  const std::string job_path_ = "/v1/jobs/4242";
};

// Credentials here are "UID:PAYLOAD", and the coordinator's uid is 999.
TEST_F(RestServerTest, AnAnswerIsProvedToBeTheCoordinatorsToThatRequest) {
  httplib::Client client("127.0.0.1", server_->port());
  const auto ask = [&](const std::string& path) {
    const std::string credential =
        std::to_string(kUser) + ":" + protocol::RestPurpose("GET", path, "");
    const auto answer = client.Get(path, {{"Authorization", "Munge " + credential}});
    EXPECT_EQ(answer->get_header_value(protocol::kRestProof),
              "Munge 999:" + protocol::AnswerPurpose(credential, answer->status, answer->body));
    return answer->status;
  };
  EXPECT_EQ(ask("/v1/jobs"), 200);
  EXPECT_EQ(ask("/v1/jobs/1"), 404);
  EXPECT_EQ(ask("/v1/health"), 200);
  // Nobody is given work for nothing.
  EXPECT_FALSE(client.Get("/v1/health")->has_header(protocol::kRestProof));
  EXPECT_FALSE(client.Get("/v1/jobs")->has_header(protocol::kRestProof));
}

TEST_F(RestServerTest, UsersSeeTheirOwnJobsOnly) {
  EXPECT_EQ(Ask(kUser, "GET", "/v1/jobs").body["jobs"].size(), 1U);
  EXPECT_EQ(Ask(1001, "GET", "/v1/jobs").body["jobs"].size(), 0U);
  EXPECT_EQ(Ask(0, "GET", "/v1/jobs").body["jobs"].size(), 1U);
  EXPECT_EQ(Ask(64030, "GET", "/v1/jobs").body["jobs"].size(), 1U) << "Slurm's user";
}

// Connections of one address, as many as there may be descriptors for here.
class Crowd {
 public:
  Crowd(int port, int size, const std::string& said) {
    for (int i = 0; i < size; ++i) {
      UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      sockaddr_in address{.sin_family = AF_INET,
                          .sin_port = htons(static_cast<uint16_t>(port)),
                          .sin_addr = {htonl(INADDR_LOOPBACK)},
                          .sin_zero = {}};
      if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
        return;
      sockets_.push_back(std::move(socket));
    }
    Say(said);
  }
  size_t size() const { return sockets_.size(); }
  void Say(const std::string& text) {
    for (const UniqueFd& socket : sockets_)
      ::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL);
  }
  // What the first is answered, or the beginning of it.
  std::string Hear() const {
    std::string answer(4096, '\0');
    const ssize_t size = ::recv(sockets_.front().get(), answer.data(), answer.size(), 0);
    answer.resize(static_cast<size_t>(std::max<ssize_t>(size, 0)));
    return answer;
  }
  // Those that have not been sent away.
  size_t present() const {
    size_t present = 0;
    for (const UniqueFd& socket : sockets_) {
      char byte;
      present += ::recv(socket.get(), &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
    }
    return present;
  }

 private:
  std::vector<UniqueFd> sockets_;
};

TEST_F(RestServerTest, WhoSaysNothingKeepsNobodyOut) {
  const Crowd silent(server_->port(), 300, "");
  const Crowd slow(server_->port(), 300, "GET /v1/jobs HTTP/1.1\r\nX-Slow: ");
  ASSERT_EQ(slow.size(), 300U);
  EXPECT_EQ(Ask(kUser, "GET", "/v1/jobs").body["jobs"].size(), 1U);
  EXPECT_EQ(silent.present() + slow.present(), 600U) << "answered while they are all there";
}

TEST_F(RestServerTest, WhenTooManyWaitTheOldestOfThemGo) {
  const Crowd first(server_->port(), 10, "");
  const Crowd many(server_->port(), 1024, "");
  ASSERT_EQ(many.size(), 1024U);
  EXPECT_EQ(Ask(kUser, "GET", "/v1/jobs").body["jobs"].size(), 1U);
  EXPECT_EQ(first.present(), 0U);
  EXPECT_GE(many.present(), 1000U);
}

TEST_F(RestServerTest, ARequestMayComeInPieces) {
  Crowd one(server_->port(), 1, "GET /v1/health HT");
  EXPECT_EQ(one.present(), 1U);
  one.Say("TP/1.1\r\nHost: here\r\n");
  EXPECT_EQ(one.present(), 1U);
  one.Say("\r\n");
  EXPECT_THAT(one.Hear(), HasSubstr("200 OK"));

  Crowd other(server_->port(), 1, "");
  const std::string request = "POST /v1/jobs/7/save HTTP/1.1\r\nContent-Length: 3\r\n\r\n{ }";
  for (size_t at = 0; at < request.size(); ++at) {
    EXPECT_EQ(other.present(), 1U) << at;
    other.Say(request.substr(at, 1));
  }
  EXPECT_THAT(other.Hear(), HasSubstr("401"));
}

TEST_F(RestServerTest, WhatHasExpiredIsListedForRootUntilItIsRemoved) {
  EXPECT_EQ(Ask(kUser, "GET", "/v1/expired").status, 403);
  EXPECT_THAT(Ask(0, "GET", "/v1/expired").body["jobs"], testing::IsEmpty());
  EXPECT_EQ(Ask(kUser, "GET", job_path_).body["kept_for_seconds"], nullptr);
  EXPECT_EQ(Ask(kUser, "POST", job_path_ + "/removed", R"({"all": true})").status, 409);
  EXPECT_EQ(Ask(kUser, "POST", job_path_ + "/removed", R"({"checkpoints": ["one"]})").status, 400);
  v1::FromWarden ended;
  ended.mutable_ended();
  for (const auto& warden : wardens_) warden->Send(ended);
  ASSERT_TRUE(Reaches(Stage::kEnding));
  slurm_.Change(kJob, [](Record& job) { job.state = Record::State::kTerminal; });
  ASSERT_TRUE(Reaches(Stage::kEnded));
  EXPECT_EQ(Ask(kUser, "GET", job_path_).body["kept_for_seconds"], 0);
  const json jobs = Ask(0, "GET", "/v1/expired").body["jobs"];
  ASSERT_EQ(jobs.size(), 1U);
  EXPECT_EQ(jobs[0]["job_id"], kJob);
  EXPECT_EQ(jobs[0]["uid"], kUser);
  EXPECT_EQ(Ask(1001, "POST", job_path_ + "/removed", R"({"all": true})").status, 404);
  EXPECT_EQ(Ask(kUser, "POST", job_path_ + "/removed", R"({"all": true})").status, 200);
  EXPECT_THAT(Ask(0, "GET", "/v1/expired").body["jobs"], testing::IsEmpty());
}

TEST_F(RestServerTest, AnotherUsersJobLooksLikeNone) {
  const Answer others = Ask(1001, "GET", job_path_);
  const Answer none = Ask(1001, "GET", "/v1/jobs/4243");
  EXPECT_EQ(others.status, 404);
  EXPECT_EQ(none.status, 404);
  EXPECT_EQ(others.error().substr(8), none.error().substr(8));
  for (const char* verb : {"/save", "/migrate", "/resume"})
    EXPECT_EQ(Ask(1001, "POST", job_path_ + verb, "{}").status, 404) << verb;
  EXPECT_EQ(Get().stage, Stage::kRunning);
}

TEST_F(RestServerTest, CredentialsAreForOneRequest) {
  EXPECT_EQ(Raw("GET", job_path_, "", {}).status, 401);
  EXPECT_EQ(Raw("GET", job_path_, "", {{"Authorization", "Basic x"}}).status, 401);
  EXPECT_EQ(Raw("GET", job_path_, "", {{"Authorization", "Munge rubbish"}}).status, 401);
  EXPECT_EQ(Ask(kUser, "GET", job_path_, "", protocol::RestPurpose("GET", "/v1/jobs", "")).status,
            401);
  EXPECT_EQ(Ask(kUser, "POST", job_path_ + "/save", R"({"stop":true})",
                protocol::RestPurpose("POST", job_path_ + "/save", R"({"stop":false})"))
                .status,
            401);
  const httplib::Headers once{
      {"Authorization", "Munge 1000:" + protocol::RestPurpose("GET", job_path_, "")}};
  EXPECT_EQ(Raw("GET", job_path_, "", once).status, 200);
  EXPECT_EQ(Raw("GET", job_path_, "", once).status, 401) << "replayed";
}

TEST_F(RestServerTest, ATaskOfAnArrayHasTwoNames) {
  EXPECT_TRUE(Ask(kUser, "GET", job_path_).body["array_job_id"].is_null());
  slurm_.Change(kJob, [](Record& record) { record.array = {.job = 41, .task = 3}; });
  ASSERT_TRUE(Eventually([&] { return Get().array.has_value(); }));
  const Answer shown = Ask(kUser, "GET", "/v1/jobs/41_3");
  ASSERT_EQ(shown.status, 200) << shown.body;
  EXPECT_EQ(shown.body["job_id"], kJob);
  EXPECT_EQ(shown.body["array_task_id"], 3);
  EXPECT_EQ(Ask(kUser, "GET", "/v1/jobs/41_4").status, 404);
  EXPECT_EQ(Ask(1001, "GET", "/v1/jobs/41_3").status, 404) << "somebody else's";
}

TEST_F(RestServerTest, SaveAndShow) {
  const Answer saved = Ask(kUser, "POST", job_path_ + "/save?wait=10", "{}");
  EXPECT_EQ(saved.status, 200) << saved.body;
  EXPECT_EQ(saved.body["checkpoint"]["number"], 1);
  EXPECT_EQ(saved.body["checkpoint"]["state"], "committed");
  const Answer shown = Ask(kUser, "GET", job_path_);
  ASSERT_EQ(shown.status, 200);
  EXPECT_EQ(shown.body["options"]["keep"], 2);
  EXPECT_EQ(shown.body["options"]["checkpoint-keep"], "2");
  EXPECT_EQ(shown.body["checkpoints"][0]["raw_bytes"], 2000);
  EXPECT_GT(shown.body["checkpoints"][0]["commit_ns"], 0);
  EXPECT_GT(shown.body["events"].size(), 2U);
  EXPECT_EQ(shown.body["options"]["auto_interval"], false);
  ASSERT_TRUE(Eventually([&] { return Get().can_save(); }));
  const json plan = Ask(kUser, "GET", job_path_).body["plan"];
  EXPECT_EQ(plan["interval_seconds"], 0);
  EXPECT_EQ(plan["basis"], "none");
  EXPECT_EQ(plan["why"], "only when needed");
  EXPECT_GT(plan["checkpoint_cost_ns"], 0);
  EXPECT_GT(plan["interruption_every_ns"], 0);
  EXPECT_TRUE(plan["notice_ns"].is_null());
  EXPECT_GT(plan["to_safe_ns"], 0);
  wardens_[0]->hold_commit = true;
  ASSERT_TRUE(Eventually([&] { return Get().can_save(); }));
  EXPECT_EQ(Ask(kUser, "POST", job_path_ + "/save").status, 202) << "does not wait";
}

TEST_F(RestServerTest, MigrateLeavesTheNodesItIsOn) {
  const Answer answer = Ask(kUser, "POST", job_path_ + "/migrate?wait=10");
  EXPECT_EQ(answer.status, 200) << answer.body;
  ASSERT_TRUE(Reaches(Stage::kWaiting));
  EXPECT_TRUE(Eventually([&] { return slurm_.Get(kJob).excluded.size() == 2; }));
  EXPECT_EQ(Ask(kUser, "POST", job_path_ + "/migrate").status, 409);
}

TEST_F(RestServerTest, SaveWithStopHoldsAndResumeReleases) {
  // 200 if it is committed by then.
  ASSERT_THAT(Ask(kUser, "POST", job_path_ + "/save", R"({"stop":true})").status, AnyOf(202, 200));
  ASSERT_TRUE(Reaches(Stage::kHeld));
  EXPECT_EQ(Ask(kUser, "GET", job_path_).body["state"], "held");
  EXPECT_EQ(Ask(kUser, "POST", job_path_ + "/resume", R"({"checkpoint":9})").status, 409);
  EXPECT_EQ(Ask(kUser, "POST", job_path_ + "/resume", R"({"exclude":["n1"]})").status, 202);
  EXPECT_TRUE(Eventually([&] { return !slurm_.Get(kJob).held; }));
}

TEST_F(RestServerTest, FailedSaveSaysWhy) {
  wardens_[0]->fail_prepare = true;
  const Answer answer = Ask(kUser, "POST", job_path_ + "/save?wait=10");
  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.error(), HasSubstr("criu dump failed"));
}

TEST_F(RestServerTest, BadRequestsSayWhatIsExpected) {
  EXPECT_EQ(Ask(kUser, "POST", job_path_ + "/save", "{").status, 400);
  EXPECT_THAT(Ask(kUser, "POST", job_path_ + "/save", R"({"stopp":true})").error(),
              HasSubstr("known are: stop"));
  EXPECT_THAT(Ask(kUser, "GET", "/v1/jobs?uesr=1").error(), HasSubstr("known are: state, user"));
  EXPECT_EQ(Ask(kUser, "GET", "/v1/jobs?limit=0").status, 400);
  EXPECT_EQ(Ask(kUser, "GET", "/v1/jobs?cursor=x").status, 400);
  EXPECT_EQ(Ask(kUser, "GET", "/v1/jobs?user=no-such-user").status, 400);
  EXPECT_EQ(Ask(kUser, "POST", job_path_ + "/stop", R"({"hold":true})").status, 400);
  EXPECT_EQ(Ask(kUser, "POST", job_path_ + "/save", R"({"stop":1})").status, 400);
  EXPECT_EQ(Ask(kUser, "POST", job_path_ + "/migrate", R"({"exclude":["n1;n2"]})").status, 400);
  EXPECT_EQ(Ask(kUser, "POST", job_path_ + "/save?wait=x").status, 400);
  EXPECT_EQ(Ask(kUser, "POST", job_path_ + "/resume", R"({"checkpoint":-1})").status, 400);
  EXPECT_EQ(Ask(kUser, "GET", "/v2/jobs").status, 404);
  EXPECT_EQ(Ask(kUser, "GET", "/v1/jobs/99999999999999").status, 404);
  EXPECT_EQ(Ask(kUser, "POST", job_path_ + "/save", std::string(100'000, ' ')).status, 413);
}

TEST_F(RestServerTest, EvacuateIsForAdministrators) {
  const Answer refused = Ask(kUser, "POST", "/v1/nodes/n1/evacuate");
  EXPECT_EQ(refused.status, 403);
  EXPECT_EQ(refused.body["error"]["code"], "denied");
  EXPECT_FALSE(slurm_.Node("n1").draining);
  EXPECT_EQ(Ask(0, "POST", "/v1/nodes/n9/evacuate").status, 404);
  EXPECT_EQ(Ask(0, "POST", "/v1/nodes/n1/evacuate", R"({"reason":1})").status, 400);
  EXPECT_EQ(Ask(0, "POST", "/v1/nodes/n1/evacuate", R"({"why":"x"})").status, 400);
  EXPECT_EQ(Get().stage, Stage::kRunning);

  const Answer taken = Ask(0, "POST", "/v1/nodes/n1/evacuate", R"({"reason":"new disk"})");
  ASSERT_EQ(taken.status, 202) << taken.body;
  EXPECT_EQ(taken.body["node"], "n1");
  EXPECT_EQ(taken.body["jobs"], json::array({kJob}));
  EXPECT_EQ(slurm_.Node("n1").reason, "holdfast: new disk");
  EXPECT_TRUE(Reaches(Stage::kWaiting));
}

TEST_F(RestServerTest, FiguresNeedNoCredentialAndHaveNoNames) {
  httplib::Client client("127.0.0.1", server_->port());
  ASSERT_EQ(Ask(kUser, "POST", job_path_ + "/save?wait=10", "{}").status, 200);
  const auto figures = client.Get("/metrics");
  ASSERT_EQ(figures->status, 200);
  EXPECT_EQ(figures->get_header_value("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_THAT(figures->body, HasSubstr("\nholdfast_jobs{state=\"running\"} 1\n"));
  EXPECT_THAT(figures->body, HasSubstr("\nholdfast_wardens 2\n"));
  EXPECT_THAT(figures->body,
              HasSubstr("holdfast_checkpoints_total{reason=\"save\",outcome=\"committed\"} 1\n"));
  EXPECT_THAT(figures->body, HasSubstr("\nholdfast_checkpoint_data_bytes_total 2000\n"));
  for (const char* name : {"4242", "n1", "n2", "1000", "/ckpt"})
    EXPECT_THAT(figures->body, Not(HasSubstr("\"" + std::string(name) + "\"")));
  ASSERT_TRUE(server_->Apply({.figures = false}));
  EXPECT_EQ(client.Get("/metrics")->status, 404);
}

TEST_F(RestServerTest, ItIsReadyWhenWhatItRestsOnIs) {
  httplib::Client client("127.0.0.1", server_->port());
  EXPECT_EQ(client.Get("/healthz")->body, "ok\n");
  EXPECT_EQ(client.Get("/readyz")->status, 200);
  slurm_.away = true;
  ASSERT_TRUE(Eventually([&] { return client.Get("/readyz")->status == 503; }));
  EXPECT_EQ(client.Get("/readyz")->body, "slurm: slurmctld does not answer\n");
  EXPECT_EQ(client.Get("/healthz")->status, 200);
  slurm_.away = false;
  EXPECT_TRUE(Eventually([&] { return client.Get("/readyz")->status == 200; }));
}

TEST_F(RestServerTest, ShowSaysWhy) {
  const Answer shown = Ask(kUser, "GET", job_path_);
  ASSERT_FALSE(shown.body["why"].empty());
  EXPECT_EQ(shown.body["why"][0]["about"], "saved");
  EXPECT_EQ(shown.body["why"][0]["reason"], "not-yet");
  EXPECT_EQ(shown.body["why"][0]["next"], "holdfast save 4242");
}

TEST_F(RestServerTest, HealthNeedsNoCredential) {
  const Answer answer = Raw("GET", "/v1/health", "", {});
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body["status"], "ok");
  EXPECT_EQ(answer.body["journal"], "ok");
}

}  // namespace
}  // namespace holdfast::coordinator
