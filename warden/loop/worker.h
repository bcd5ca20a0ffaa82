// One thread that does what blocks, one task after the other, so that the warden's main thread
// always answers. It lives as long as the warden: what it spawns is killed when the spawning thread
// ends (base/process.h), and CRIU must stay between two tasks.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "base/result.h"
#include "base/unique_fd.h"
#include "warden/loop/roles.h"

namespace holdfast::warden {

class Worker final : public Runner {
 public:
  static Result<std::unique_ptr<Worker>> Start();
  ~Worker() override;  // waits for the task under way and drops the others

  void Run(Task task, Done done) override;
  // Polls readable when Collect has something to do.
  const UniqueFd& fd() const { return finished_fd_; }
  void Collect() override;
  bool busy() const override { return outstanding_ > 0; }

 private:
  struct Item {
    Task task;
    Done done;
    Status status;
  };
  explicit Worker(UniqueFd finished_fd);
  void Loop(const std::stop_token& stop);

  UniqueFd finished_fd_;    // eventfd
  size_t outstanding_ = 0;  // of the collecting thread
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::deque<Item> waiting_;
  std::deque<Item> finished_;
  std::jthread thread_;  // last: ends before what it uses
};

}  // namespace holdfast::warden
