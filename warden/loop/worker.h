// One thread that does what blocks, one task after the other, so that the warden's main thread
// always answers. It lives as long as the warden: what it spawns is killed when the spawning thread
// ends (base/process.h), and CRIU must stay between two tasks.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "base/result.h"
#include "base/unique_fd.h"

namespace holdfast::warden {

class Worker {
 public:
  using Task = std::function<Status()>;
  using Done = std::function<void(Status)>;

  static Result<std::unique_ptr<Worker>> Start();
  ~Worker();  // waits for the task under way and drops the others

  // Runs `task` on the worker's thread, then `done` on the thread that calls Collect.
  void Run(Task task, Done done);
  // Polls readable when Collect has something to do.
  const UniqueFd& fd() const { return finished_fd_; }
  void Collect();
  // Whether a task has been given whose `done` has not been called.
  bool busy() const { return outstanding_ > 0; }

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
