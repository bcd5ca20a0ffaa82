#include "warden/loop/worker.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>

namespace holdfast::warden {

Result<std::unique_ptr<Worker>> Worker::Start() {
  UniqueFd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd.valid()) return FailErrno("eventfd");
  return std::unique_ptr<Worker>(new Worker(std::move(fd)));
}

Worker::Worker(UniqueFd finished_fd)
    : finished_fd_(std::move(finished_fd)),
      thread_([this](const std::stop_token& stop) { Loop(stop); }) {}

Worker::~Worker() = default;

void Worker::Run(Task task, Done done) {
  ++outstanding_;
  const std::lock_guard lock(mutex_);
  waiting_.push_back({.task = std::move(task), .done = std::move(done), .status = {}});
  wake_.notify_one();
}

void Worker::Collect() {
  std::deque<Item> finished;
  {
    const std::lock_guard lock(mutex_);
    eventfd_t count;
    ::eventfd_read(finished_fd_.get(), &count);
    finished.swap(finished_);
  }
  for (Item& item : finished) {
    --outstanding_;
    item.done(std::move(item.status));
  }
}

void Worker::Loop(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (wake_.wait(lock, stop, [this] { return !waiting_.empty(); })) {
    if (stop.stop_requested()) return;
    Item item = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    item.status = item.task();
    lock.lock();
    finished_.push_back(std::move(item));
    ::eventfd_write(finished_fd_.get(), 1);
  }
}

}  // namespace holdfast::warden
