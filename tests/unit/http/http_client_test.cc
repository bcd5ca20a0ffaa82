#include "base/http_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <future>
#include <thread>

#include "base/files.h"
#include "base/process.h"
#include "tests/fakes/http_server.h"

namespace holdfast::http {
namespace {

using fakes::Exchange;
using fakes::HttpServer;
using testing::HasSubstr;
using testing::Not;
using namespace std::chrono_literals;

TEST(HttpClientTest, SendsMethodHeadersAndBodyAndReadsTheAnswer) {
  HttpServer server([](Exchange& exchange) {
    const std::string body = exchange.ReadWholeBody();
    exchange.Respond(
        201, {{"X-Thing", " spaced "}, {"Location", "there"}},
        exchange.method + exchange.path + exchange.Query("q") + exchange.Header("x-sent") + body);
  });
  Client client;
  const std::string body = "body";
  const Outcome outcome = client.Send({.method = "PUT",
                                       .url = server.url() + "/p?q=" + Escape("a b&c"),
                                       .headers = {"X-Sent: yes"},
                                       .body = AsBytes(body)});
  ASSERT_TRUE(outcome.response) << outcome.response.error().message();
  EXPECT_EQ(outcome.response->status, 201);
  EXPECT_EQ(outcome.response->body, "PUT/pa b&cyesbody");
  EXPECT_EQ(outcome.response->Header("x-thing"), "spaced");
  EXPECT_EQ(outcome.response->Header("missing"), "");
  EXPECT_EQ(outcome.sent_bytes, 4u);
}

TEST(HttpClientTest, SendsAnEmptyBodyWithItsLength) {
  HttpServer server(
      [](Exchange& exchange) { exchange.Respond(200, {}, exchange.Header("content-length")); });
  Client client;
  const Outcome outcome =
      client.Send({.method = "PUT", .url = server.url(), .body = std::span<const std::byte>()});
  ASSERT_TRUE(outcome.response);
  EXPECT_EQ(outcome.response->body, "0");
}

TEST(HttpClientTest, ReusesConnections) {
  HttpServer server([](Exchange& exchange) { exchange.Respond(200, {}, "x"); });
  Client client;
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(client.Send({.url = server.url()}).response);
  EXPECT_EQ(server.connections(), 1u);
}

TEST(HttpClientTest, RunsManyRequestsAtOnce) {
  std::atomic<int> inside = 0, most = 0;
  HttpServer server([&](Exchange& exchange) {
    most = std::max(most.load(), ++inside);
    std::this_thread::sleep_for(200ms);
    --inside;
    exchange.Respond(200, {}, "");
  });
  Client client;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] { EXPECT_TRUE(client.Send({.url = server.url()}).response); });
  threads.clear();
  EXPECT_GE(most, 4);
}

TEST(HttpClientTest, PutsSuccessIntoTheSinkAndErrorsIntoTheBody) {
  HttpServer server([](Exchange& exchange) {
    exchange.Respond(exchange.path == "/good" ? 200 : 404, {}, "12345");
  });
  Client client;
  std::array<std::byte, 5> sink{};
  Outcome outcome = client.Send({.url = server.url() + "/good", .sink = sink});
  ASSERT_TRUE(outcome.response);
  EXPECT_EQ(outcome.received_bytes, 5u);
  EXPECT_EQ(static_cast<char>(sink[4]), '5');
  EXPECT_EQ(outcome.response->body, "");
  outcome = client.Send({.url = server.url() + "/bad", .sink = sink});
  EXPECT_EQ(outcome.response->body, "12345");
  EXPECT_EQ(outcome.received_bytes, 0u);
}

TEST(HttpClientTest, RefusesMoreThanTheSinkHolds) {
  HttpServer server([](Exchange& exchange) { exchange.Respond(200, {}, "123456"); });
  Client client;
  std::array<std::byte, 5> sink{};
  const Outcome outcome = client.Send({.url = server.url(), .sink = sink});
  ASSERT_FALSE(outcome.response);
  EXPECT_EQ(outcome.response.error().code(), Code::kInvalid);
}

TEST(HttpClientTest, TellsWhatArrivedBeforeTheAnswerBrokeOff) {
  HttpServer server([](Exchange& exchange) {
    exchange.SendHead(200, {}, 10);
    exchange.SendBody(std::string("123"));
    exchange.Close();
  });
  Client client;
  std::array<std::byte, 10> sink{};
  const Outcome outcome = client.Send({.url = server.url(), .sink = sink});
  ASSERT_FALSE(outcome.response);
  EXPECT_EQ(outcome.response.error().code(), Code::kUnavailable);
  EXPECT_EQ(outcome.received_bytes, 3u);
}

TEST(HttpClientTest, NobodyThereIsUnavailable) {
  Client client;
  const Outcome outcome = client.Send({.url = "http://127.0.0.1:1/secret?token=abc"});
  ASSERT_FALSE(outcome.response);
  EXPECT_EQ(outcome.response.error().code(), Code::kUnavailable);
  EXPECT_THAT(outcome.response.error().message(), HasSubstr("GET at http://127.0.0.1:1: "));
  EXPECT_THAT(outcome.response.error().message(), Not(HasSubstr("abc")));
}

TEST(HttpClientTest, KeepsItsDeadline) {
  HttpServer server([](Exchange& exchange) {
    std::this_thread::sleep_for(1s);
    exchange.Respond(200, {}, "");
  });
  Client client;
  const auto start = Clock::now();
  const Outcome outcome = client.Send({.url = server.url(), .deadline = start + 200ms});
  ASSERT_FALSE(outcome.response);
  EXPECT_EQ(outcome.response.error().code(), Code::kTimeout);
  EXPECT_LT(Clock::now() - start, 900ms);
}

TEST(HttpClientTest, ATransferThatStallsIsUnavailable) {
  HttpServer server([](Exchange& exchange) {
    exchange.SendHead(200, {}, 10);
    exchange.Stall();
  });
  Client client;
  const Outcome outcome = client.Send({.url = server.url(), .stall_timeout = 1s});
  ASSERT_FALSE(outcome.response);
  EXPECT_EQ(outcome.response.error().code(), Code::kUnavailable);
}

TEST(HttpClientTest, StopsOnRequest) {
  HttpServer server([](Exchange& exchange) { exchange.Stall(); });
  Client client;
  std::stop_source stop;
  auto outcome = std::async(std::launch::async, [&] {
    return client.Send({.url = server.url(), .stall_timeout = 0s, .stop = stop.get_token()});
  });
  std::this_thread::sleep_for(100ms);
  const auto start = Clock::now();
  stop.request_stop();
  EXPECT_EQ(outcome.get().response.error().code(), Code::kCancelled);
  EXPECT_LT(Clock::now() - start, 500ms);
}

TEST(HttpClientTest, NeverFollowsRedirects) {
  HttpServer server(
      [](Exchange& exchange) { exchange.Respond(302, {{"Location", "http://127.0.0.1:1/"}}, ""); });
  Client client;
  const Outcome outcome = client.Send({.url = server.url()});
  ASSERT_TRUE(outcome.response);
  EXPECT_EQ(outcome.response->status, 302);
}

TEST(HttpClientTest, GoesThroughTheProxyUnlessTheRequestIsDirect) {
  HttpServer proxy([](Exchange& exchange) { exchange.Respond(200, {}, "proxy " + exchange.path); });
  HttpServer server([](Exchange& exchange) { exchange.Respond(200, {}, "server"); });
  Client client({.proxy = proxy.url()});
  EXPECT_EQ(client.Send({.url = server.url() + "/x"}).response->body,
            "proxy " + server.url() + "/x");
  EXPECT_EQ(client.Send({.url = server.url() + "/x", .direct = true}).response->body, "server");
  // And as everybody does, from the environment.
  ::setenv("http_proxy", proxy.url().c_str(), 1);
  Client plain;
  EXPECT_EQ(plain.Send({.url = server.url() + "/y"}).response->body,
            "proxy " + server.url() + "/y");
  EXPECT_EQ(plain.Send({.url = server.url() + "/y", .direct = true}).response->body, "server");
  ::unsetenv("http_proxy");
}

// openssl's own test server, with a certificate that no system trusts.
class TlsTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/holdfast-tls-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
    auto made =
        RunCommand({.argv = {"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout",
                             key(), "-out", certificate(), "-subj", "/CN=localhost", "-addext",
                             "subjectAltName=DNS:localhost", "-days", "1"}},
                   30s);
    ASSERT_TRUE(made && made->status.ok()) << (made ? made->output : made.error().message());
    // Its port is found by asking the kernel for a free one and giving it back.
    port_ = HttpServer([](Exchange&) {}).port();
    auto server =
        Process::Spawn({.argv = {"openssl", "s_server", "-quiet", "-www", "-accept",
                                 std::to_string(port_), "-key", key(), "-cert", certificate()}});
    ASSERT_TRUE(server) << server.error().message();
    server_.emplace(std::move(*server));
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(directory_)); }

  std::string key() const { return directory_ + "/key.pem"; }
  std::string certificate() const { return directory_ + "/cert.pem"; }
  // Until the server listens.
  Outcome Send(Client& client, const std::string& host) {
    for (int i = 0;; ++i) {
      Outcome outcome = client.Send({.url = "https://" + host + ":" + std::to_string(port_) + "/"});
      if (outcome.response || outcome.response.error().code() != Code::kUnavailable || i == 50)
        return outcome;
      std::this_thread::sleep_for(100ms);
    }
  }

  std::string directory_;
  uint16_t port_ = 0;
  std::optional<Process> server_;
};

TEST_F(TlsTest, RefusesACertificateThatNobodyVouchesFor) {
  Client client;
  const Outcome outcome = Send(client, "localhost");
  ASSERT_FALSE(outcome.response);
  EXPECT_EQ(outcome.response.error().code(), Code::kDenied) << outcome.response.error().message();
  EXPECT_THAT(outcome.response.error().message(), HasSubstr("cloud.ca_file"));
}

TEST_F(TlsTest, AcceptsTheConfiguredAuthorityForTheRightHostOnly) {
  Client client({.ca_file = certificate()});
  const Outcome right = Send(client, "localhost");
  ASSERT_TRUE(right.response) << right.response.error().message();
  EXPECT_EQ(right.response->status, 200);
  const Outcome wrong = Send(client, "127.0.0.1");
  ASSERT_FALSE(wrong.response);
  EXPECT_EQ(wrong.response.error().code(), Code::kDenied);
}

}  // namespace
}  // namespace holdfast::http
