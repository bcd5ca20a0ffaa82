// Streams of events, as readers see them: over real connections.
#include "coordinator/rest_events.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <nlohmann/json.hpp>

#include "base/unique_fd.h"
#include "coordinator/rest_gate.h"
#include "tests/unit/coordinator/harness.h"

namespace holdfast::coordinator {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// One connection to the stream.
class Reader {
 public:
  // `receive_buffer`: the kernel's, in bytes; 0: as large as it likes.
  Reader(int port, const std::string& target, const std::string& headers = "",
         int receive_buffer = 0)
      : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (receive_buffer != 0)
      ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    sockaddr_in address{.sin_family = AF_INET,
                        .sin_port = htons(static_cast<uint16_t>(port)),
                        .sin_addr = {htonl(INADDR_LOOPBACK)},
                        .sin_zero = {}};
    ::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
    const std::string request = "GET " + target + " HTTP/1.1\r\n" + headers + "\r\n";
    ::send(socket_.get(), request.data(), request.size(), MSG_NOSIGNAL);
  }
  // All that has come, once `text` has; or all there was.
  const std::string& Until(const std::string& text) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!heard_.contains(text) && !closed_ && std::chrono::steady_clock::now() < deadline)
      Read();
    return heard_;
  }
  // To its end.
  const std::string& All() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!closed_ && std::chrono::steady_clock::now() < deadline) Read();
    return heard_;
  }
  bool closed() const { return closed_; }
  // Of the last event.
  std::string LastId() const {
    const size_t at = heard_.rfind("id: ") + 4;
    return heard_.substr(at, heard_.find('\n', at) - at);
  }

 private:
  void Read() {
    timeval patience{.tv_sec = 0, .tv_usec = 100'000};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    char buffer[4096];
    const ssize_t size = ::recv(socket_.get(), buffer, sizeof buffer, 0);
    if (size > 0) heard_.append(buffer, static_cast<size_t>(size));
    closed_ = size == 0;
  }
  UniqueFd socket_;
  std::string heard_;
  bool closed_ = false;
};

class RestEventsTest : public CoordinatorTest {
 protected:
  void SetUp() override {
    CoordinatorTest::SetUp();
    open_ = std::make_unique<RestPublic>(*controller_, slurm_, authenticator_, metrics_);
    rights_ = std::make_unique<RestRights>(slurm_, *open_);
  }
  void TearDown() override {
    Close();
    rights_.reset();
    open_.reset();
    CoordinatorTest::TearDown();
  }
  void Serve(const RestEvents::Limits& limits) {
    events_ = std::make_unique<RestEvents>(*controller_, *rights_, limits);
    gate_ = std::make_unique<RestGate>(RestGate::Limits{.threads = 2});
    gate_->Get("/events", [this](const httplib::Request& request, httplib::Response& response) {
      const Caller caller{.uid = uid_, .by = "token", .expires = expires_};
      if (const auto refusal = events_->Open(request, caller, response)) Refuse(response, *refusal);
    });
    port_ = gate_->bind_to_any_port("127.0.0.1");
    listening_ = std::thread([this] { gate_->listen_after_bind(); });
    gate_->wait_until_ready();
  }
  void Close() {
    if (!gate_) return;
    gate_->stop();
    listening_.join();
    gate_.reset();
    events_.reset();
  }
  // So many points in the job's timeline, of some size.
  void Happen(int count, const std::string& name = "mark") {
    for (int i = 0; i < count; ++i) {
      v1::FromWarden message;
      message.mutable_event()->set_name(name);
      message.mutable_event()->set_unix_ns(1'000 + i);
      message.mutable_event()->set_detail(std::string(1000, 'x'));
      wardens_[0]->Send(message);
    }
  }

  std::atomic<uid_t> uid_ = kUser;
  std::atomic<int64_t> expires_ = 0;
  int port_ = 0;
  std::unique_ptr<RestPublic> open_;
  std::unique_ptr<RestRights> rights_;
  std::unique_ptr<RestEvents> events_;
  std::unique_ptr<RestGate> gate_;
  std::thread listening_;
};

TEST_F(RestEventsTest, WhatHappensIsToldAndToldAgainFromWhereOneWas) {
  Serve({});
  Reader first(port_, "/events");
  first.Until(": holdfast");
  EXPECT_THAT(first.Until("\n\n"), HasSubstr("Content-Type: text/event-stream"));
  StartJob({"n1"});
  ASSERT_TRUE(Reaches(Stage::kRunning));
  EXPECT_THAT(first.Until("\"name\":\"running\""), HasSubstr("\"job_id\":4242"));
  const std::string last = first.LastId();
  Happen(1, "later");
  first.Until("\"later\"");
  Reader again(port_, "/events", "Last-Event-ID: " + last + "\r\n");
  EXPECT_THAT(again.Until("\"later\""), HasSubstr("\"later\""));
  Reader all(port_, "/events", "Last-Event-ID: 0\r\n");
  EXPECT_THAT(all.Until("\"later\""), HasSubstr("\"name\":\"running\""));
}

TEST_F(RestEventsTest, NobodyHearsOfOthersJobs) {
  Serve({.look = std::chrono::milliseconds(20), .heartbeat = std::chrono::milliseconds(300)});
  uid_ = 1001;
  Reader other(port_, "/events", "Last-Event-ID: 0\r\n");
  other.Until(": holdfast");
  uid_ = kUser;
  StartJob({"n1"});
  Reader own(port_, "/events?job=4242", "Last-Event-ID: 0\r\n");
  own.Until("\"name\":\"running\"");
  Reader none(port_, "/events?job=4243", "Last-Event-ID: 0\r\n");
  EXPECT_THAT(other.Until(": alive"), Not(HasSubstr("data:")));
  EXPECT_THAT(none.Until(": alive"), Not(HasSubstr("data:")));
}

TEST_F(RestEventsTest, WhoReadsNothingIsToldSoAndCutOff) {
  Serve({.look = std::chrono::milliseconds(10),
         .patience = std::chrono::milliseconds(200),
         .send_buffer = 4096});
  StartJob({"n1"});
  ASSERT_TRUE(Reaches(Stage::kRunning));
  Reader slow(port_, "/events", "Last-Event-ID: 0\r\n", 4096);
  Reader quick(port_, "/events", "Last-Event-ID: 0\r\n");
  Happen(900);
  Happen(1, "last");
  EXPECT_THAT(quick.Until("\"last\""), HasSubstr("\"last\""));
  ASSERT_TRUE(Eventually([&] { return events_->readers_cut() == 1; }));
  EXPECT_THAT(slow.All(), HasSubstr("event: cut\n"));
  EXPECT_TRUE(slow.closed());
  EXPECT_THAT(slow.All(), Not(HasSubstr("\"last\""))) << "the rest stays in the journal";
  Reader back(port_, "/events", "Last-Event-ID: " + slow.LastId() + "\r\n");
  EXPECT_THAT(back.Until("\"last\""), HasSubstr("\"last\""));
}

TEST_F(RestEventsTest, ThereAreNoMoreStreamsThanMayBe) {
  Serve({.streams = 3, .streams_of_a_user = 2, .look = std::chrono::milliseconds(10)});
  auto first = std::make_unique<Reader>(port_, "/events");
  first->Until(": holdfast");
  Reader second(port_, "/events");
  second.Until(": holdfast");
  EXPECT_TRUE(Eventually(
      [&] { return Reader(port_, "/events").Until("streams").contains("too-many-streams"); }));
  uid_ = 1001;
  Reader others(port_, "/events");
  EXPECT_THAT(others.Until(": holdfast"), HasSubstr("200 OK"));
  EXPECT_THAT(Reader(port_, "/events").All(), HasSubstr("too-many-streams")) << "of all";
  first.reset();
  EXPECT_TRUE(
      Eventually([&] { return Reader(port_, "/events").Until(": holdfast").contains("200 OK"); }));
}

TEST_F(RestEventsTest, AStreamEndsWithItsToken) {
  Serve({.look = std::chrono::milliseconds(10)});
  expires_ = ::time(nullptr) - 1;
  EXPECT_THAT(Reader(port_, "/events").All(), HasSubstr("event: expired\n"));
}

TEST_F(RestEventsTest, AnIdThatTheJournalNeverGaveIsSaid) {
  Serve({});
  EXPECT_THAT(Reader(port_, "/events", "Last-Event-ID: 77\r\n").Until("data:"),
              HasSubstr("event: reset\n"));
  EXPECT_THAT(Reader(port_, "/events", "Last-Event-ID: x\r\n").All(), HasSubstr("400"));
  EXPECT_THAT(Reader(port_, "/events?jbo=1").All(), HasSubstr("400"));
}

}  // namespace
}  // namespace holdfast::coordinator
