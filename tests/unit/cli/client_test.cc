#include "cli/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <thread>

#include "base/unique_fd.h"
#include "protocol/rest.h"

namespace holdfast::cli {
namespace {

using nlohmann::json;
using std::chrono::seconds;
using testing::HasSubstr;

Result<std::string> FakeSeal(std::string_view purpose) { return "sealed " + std::string(purpose); }

// Credentials of the coordinator are "coordinator: TEXT".
Status FakeVerify(const std::string& credential, const std::string& payload) {
  if (credential == "coordinator: " + payload) return {};
  return Fail(Code::kDenied, "munge: it is somebody else's, or over something else");
}

void Prove(const httplib::Request& request, httplib::Response& response) {
  if (response.status <= 0) response.status = 200;
  const std::string credential = request.get_header_value("Authorization").substr(6);
  response.set_header(
      "Holdfast-Proof",
      "Munge coordinator: " + protocol::AnswerPurpose(credential, response.status, response.body));
}

class ClientTest : public testing::Test {
 protected:
  void SetUp() override {
    port_ = server_.bind_to_any_port("127.0.0.1");
    ASSERT_GT(port_, 0);
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    server_.wait_until_ready();
  }
  void TearDown() override {
    server_.stop();
    thread_.join();
  }
  Client MakeClient() {
    return {"127.0.0.1", static_cast<uint16_t>(port_), seconds(5), FakeVerify, FakeSeal};
  }

  httplib::Server server_;
  std::thread thread_;
  int port_ = 0;
};

TEST_F(ClientTest, ProvesWhoAsksForWhat) {
  server_.Get("/v1/jobs", [](const httplib::Request& request, httplib::Response& response) {
    response.set_content(json{{"seen", request.get_header_value("Authorization")}}.dump(),
                         "application/json");
    Prove(request, response);
  });
  server_.Post("/v1/jobs/7/save", [](const httplib::Request& request, httplib::Response& response) {
    response.status = 202;
    response.set_content(json{{"seen", request.get_header_value("Authorization")},
                              {"body", json::parse(request.body)},
                              {"wait", request.get_param_value("wait")}}
                             .dump(),
                         "application/json");
    Prove(request, response);
  });
  const auto got = MakeClient().Get("/v1/jobs");
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_EQ((*got)["seen"], "Munge sealed " + protocol::RestPurpose("GET", "/v1/jobs", ""));

  const json body{{"stop", true}};
  const auto posted = MakeClient().Post("/v1/jobs/7/save?wait=600", body);
  ASSERT_TRUE(posted) << posted.error().message();
  EXPECT_EQ(
      (*posted)["seen"],
      "Munge sealed " + protocol::RestPurpose("POST", "/v1/jobs/7/save?wait=600", body.dump()));
  EXPECT_EQ((*posted)["body"], body);
  EXPECT_EQ((*posted)["wait"], "600");
}

TEST_F(ClientTest, PassesOnTheCoordinatorsErrorAndNextStep) {
  server_.Get("/v1/jobs/7", [](const httplib::Request& request, httplib::Response& response) {
    response.status = 404;
    response.set_content(
        R"({"error": {"code": "not_found", "message": "job 7 is not known", "next": "holdfast list"}})",
        "application/json");
    Prove(request, response);
  });
  const auto answer = MakeClient().Get("/v1/jobs/7");
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code(), CodeFromName("not_found"));
  EXPECT_EQ(answer.error().message(), "job 7 is not known\n  next: holdfast list");
}

TEST_F(ClientTest, DoesNotTakeOtherThingsForAnswers) {
  server_.Get("/bad", [](const httplib::Request&, httplib::Response& response) {
    response.status = 502;
    response.set_content("<html>", "text/html");
  });
  server_.Get("/html", [](const httplib::Request& request, httplib::Response& response) {
    response.set_content("<html>", "text/html");
    Prove(request, response);
  });
  const auto bad = MakeClient().Get("/bad");
  ASSERT_FALSE(bad);
  EXPECT_THAT(bad.error().message(), HasSubstr("502"));
  const auto html = MakeClient().Get("/html");
  ASSERT_FALSE(html);
  EXPECT_THAT(html.error().message(), HasSubstr("no JSON"));
}

// Whoever has the port while the coordinator is not there, or is on the way to it.
TEST_F(ClientTest, BelievesNobodyElse) {
  std::string overheard;
  server_.Get("/none", [](const httplib::Request&, httplib::Response& response) {
    response.set_content("{}", "application/json");
  });
  server_.Get("/forged", [](const httplib::Request&, httplib::Response& response) {
    response.set_content("{}", "application/json");
    response.set_header("Holdfast-Proof", "Munge somebody: x");
  });
  server_.Get("/changed", [](const httplib::Request& request, httplib::Response& response) {
    response.set_content("{}", "application/json");
    Prove(request, response);
    response.set_content("[]", "application/json");
  });
  server_.Get("/again", [&](const httplib::Request& request, httplib::Response& response) {
    response.set_content("{}", "application/json");
    if (overheard.empty()) {
      Prove(request, response);
      overheard = response.get_header_value("Holdfast-Proof");
    } else {
      response.set_header("Holdfast-Proof", overheard);
    }
  });
  server_.Get("/gone", [](const httplib::Request&, httplib::Response& response) {
    response.status = 404;
    response.set_content(R"({"error": {"code": "not-found", "message": "no such job"}})",
                         "application/json");
  });
  for (const char* path : {"/none", "/forged", "/changed"}) {
    const auto answer = MakeClient().Get(path);
    ASSERT_FALSE(answer) << path;
    EXPECT_THAT(answer.error().message(), HasSubstr("is not the coordinator's"));
  }
  int asked = 0;
  const auto seal = [&](std::string_view purpose) -> Result<std::string> {
    return std::to_string(++asked) + std::string(purpose);  // as MUNGE's, never the same
  };
  Client client("127.0.0.1", static_cast<uint16_t>(port_), seconds(5), FakeVerify, seal);
  EXPECT_TRUE(client.Get("/again"));
  EXPECT_FALSE(client.Get("/again"));
  EXPECT_EQ(MakeClient().Get("/gone").error().code(), Code::kUnavailable)
      << "that the coordinator has forgotten a job is believed of the coordinator alone";
}

TEST(Client, SaysWhomItCouldNotReach) {
  // Bound but not listening: connections are refused.
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_TRUE(socket.valid());
  sockaddr_in address{.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t length = sizeof address;
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  const uint16_t port = ntohs(address.sin_port);
  const auto answer = Client("127.0.0.1", port, seconds(5), FakeVerify, FakeSeal).Get("/v1/jobs");
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code(), Code::kUnavailable);
  EXPECT_THAT(answer.error().message(), HasSubstr("127.0.0.1 port " + std::to_string(port)));
}

TEST(Client, AsksNobodyWithoutACredential) {
  Client client("127.0.0.1", 1, seconds(5), FakeVerify,
                [](std::string_view) -> Result<std::string> {
                  return Fail(Code::kUnavailable, "munged does not answer");
                });
  const auto answer = client.Get("/v1/jobs");
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().message(), "munged does not answer");
}

}  // namespace
}  // namespace holdfast::cli
