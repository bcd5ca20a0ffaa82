// The warden's part when its node is taken back: it tells the coordinator of the cloud's notice,
// and drains the node in Slurm if the coordinator, which is no Slurm administrator, asks for it. To
// Slurm, root on any of its nodes is one.
//
// Thread-safe. What it sends may come from the watcher's thread.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/result.h"
#include "protocol/holdfast.pb.h"
#include "warden/notices/watcher.h"

namespace holdfast::warden {

class Spot {
 public:
  using Tell = std::function<void(v1::FromWarden)>;
  // `scontrol`: the program; tests have their own.
  Spot(std::string node, Tell tell, std::string scontrol = "scontrol");

  // Watches from now on. Without a watcher the job runs all the same.
  Status Watch(const notices::Settings& settings);
  // To a coordinator that may not have heard of it: on every Welcome.
  void Repeat();
  // Returns at once. One that is under way is waited for.
  void Drain(const std::string& reason);

 private:
  void OnNotice(const notices::Notice& notice);

  const std::string node_;
  const Tell tell_;
  const std::string scontrol_;
  std::mutex mutex_;
  std::optional<v1::Notice> reclaim_;  // the latest
  std::jthread drain_;
  std::unique_ptr<notices::Watcher> watcher_;  // last: it uses the others
};

}  // namespace holdfast::warden
