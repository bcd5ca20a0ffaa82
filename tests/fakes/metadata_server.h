// The metadata servers of Google Compute Engine, EC2 (IMDSv2) and Azure, for tests and the lab: one
// of them at a time, as on a real machine; the paths of the others are unknown.
//
// Over HTTP: PUT /holdfast/announce {"kind": "reclaim", "seconds": 30} (or "maintenance",
// "rebalance", "none").
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <string>

#include "tests/fakes/http_server.h"

namespace holdfast::fakes {

enum class Cloud { kGce, kAws, kAzure };

class MetadataServer {
 public:
  explicit MetadataServer(Cloud cloud, uint16_t port = 0, const std::string& address = "127.0.0.1");
  ~MetadataServer();

  std::string url() const { return server_.url(); }

  // The provider takes the machine back, after so long.
  void AnnounceReclaim(std::chrono::seconds after);
  // It will be down for maintenance (GCE: TERMINATE_ON_HOST_MAINTENANCE; Azure: Redeploy).
  void AnnounceMaintenance(std::chrono::seconds after);
  // It may be reclaimed soon (AWS), or is moved without a stop (GCE, Azure).
  void AnnounceHarmless();
  // All is as before.
  void Withdraw();

  // What the default service account's token is (GCE), or the session token of the role's key
  // (AWS), and for how long.
  void SetToken(const std::string& token, std::chrono::seconds lifetime);
  // Session tokens given out so far stop being valid (AWS).
  void ForgetSessions();
  // The next requests get a 503.
  void FailNext(int count);

  unsigned requests();

 private:
  struct State {
    std::string preempted = "FALSE";
    std::string maintenance = "NONE";
    std::string action_time, rebalance_time;  // AWS
    std::string event_type, not_before;       // Azure
    unsigned version = 1;
  };
  void Handle(Exchange& exchange);
  void HandleGce(Exchange& exchange);
  void HandleAws(Exchange& exchange);
  void HandleAzure(Exchange& exchange);
  // Answers with a value of the state, after it has changed if the request asks for that.
  void AnswerValue(Exchange& exchange, std::string State::* member);
  void Announce(Exchange& exchange);
  template <typename Change>
  void Update(Change change);

  const Cloud cloud_;
  std::mutex mutex_;
  std::condition_variable changed_;
  State state_;
  bool closing_ = false;
  std::string token_ = "metadata-token";
  std::chrono::seconds token_lifetime_{3600};
  std::set<std::string> sessions_;
  int fail_next_ = 0;
  unsigned requests_ = 0;
  HttpServer server_;  // last: its threads use the others
};

}  // namespace holdfast::fakes
