// Watches for the cloud's announcement that it takes this node back.
//
// Every warden of a node starts a Watcher, but only one of them asks the cloud: the one that holds
// the lock in `lock_directory`, and when that job ends, the next. It tells what it learns of the
// node to its callback; the coordinator, told by that one warden, handles all jobs of the node.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "base/result.h"
#include "base/unique_fd.h"

namespace holdfast::notices {

struct Notice {
  enum class Kind {
    kReclaim,  // the node goes at the deadline: a spot node wanted elsewhere, or maintenance
    kAtRisk,   // it may be reclaimed soon (AWS rebalance recommendation); no deadline
  };
  std::string_view provider;  // as providers.inc names it
  Kind kind = Kind::kReclaim;
  std::string detail;                              // what the provider said, for people
  std::chrono::system_clock::time_point deadline;  // of kReclaim
};

struct Settings {
  std::string provider = "auto";  // or one of providers.inc, or "none"
  std::string metadata_url;       // instead of http://169.254.169.254
  // From the notice to the end where the provider gives no time; 0: what it documents.
  std::chrono::seconds notice_time{0};
  std::string lock_directory = "/run/holdfast-node";  // created, for root only
  // Where the kernel shows who made this machine; tests have their own.
  std::string dmi_directory = "/sys/class/dmi/id";
  // Between two questions where the provider cannot hold back its answer until there is news; 0:
  // what it recommends.
  std::chrono::milliseconds poll_interval{0};
};

// How long before the end this node's provider says so, as configured or documented; 0 if there is
// none. Asks nobody: 0 also if only the answers at metadata_url would tell who the provider is.
std::chrono::seconds NoticeTime(const Settings& settings);

class Watcher {
 public:
  // The callback runs on the watcher's threads, once for each notice, and must not block for long.
  // Fails with kInvalid for an unknown provider, or if the lock's directory cannot be made.
  static Result<std::unique_ptr<Watcher>> Start(Settings settings,
                                                std::function<void(const Notice&)> callback);
  // Stops watching; no callback runs afterwards.
  ~Watcher() = default;

 private:
  Watcher(Settings settings, UniqueFd lock, std::function<void(const Notice&)> callback);
  void Run(std::stop_token stop);

  const Settings settings_;
  const UniqueFd lock_;
  const std::function<void(const Notice&)> callback_;
  std::jthread thread_;  // last: it uses the others
};

}  // namespace holdfast::notices
