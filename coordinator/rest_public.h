// What the REST API tells anybody, without a credential: whether the coordinator lives, whether it
// can do its work, and sums of what it did. Nothing in it is about one user, job or node. What it
// takes to find out is done at most once a second, whoever asks and how often. Used by
// rest_server.cc. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "base/result.h"
#include "coordinator/authenticator.h"
#include "coordinator/controller.h"
#include "coordinator/metrics.h"
#include "coordinator/slurm_client.h"

namespace holdfast::coordinator {

// The last answer to a question that is not to be asked too often.
template <typename T>
class Recent {
 public:
  T Get(const std::function<T()>& ask) {
    const std::lock_guard lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (!answer_ || now - asked_ >= std::chrono::seconds(1)) {
      answer_ = ask();
      asked_ = now;
    }
    return *answer_;
  }

 private:
  std::mutex mutex_;
  std::optional<T> answer_;
  std::chrono::steady_clock::time_point asked_;
};

class RestPublic {
 public:
  // All must outlive it.
  RestPublic(Controller& controller, SlurmClient& slurm, Authenticator& authenticator,
             Metrics& metrics);

  // As Slurm last said, within the last second.
  Result<Cluster> GetCluster();
  // Of /v1/health.
  std::string Health();
  // Whatever stands in the way of its work, a line each; empty: nothing does.
  std::string Obstacles();
  // In Prometheus's format; kNotFound if the site does not want that.
  Result<std::string> Figures(size_t requests_waiting);
  void ShowFigures(bool show) { shows_figures_ = show; }

 private:
  Controller& controller_;
  SlurmClient& slurm_;
  Authenticator& authenticator_;
  Metrics& metrics_;
  std::atomic<bool> shows_figures_ = true;
  Recent<Result<Cluster>> cluster_;
  Recent<Status> munge_;
  Recent<std::string> figures_;
};

}  // namespace holdfast::coordinator
