#include "warden/loop/worker.h"

#include <gmock/gmock.h>
#include <poll.h>

#include <thread>

namespace holdfast::warden {
namespace {

using ::testing::ElementsAre;

void CollectOne(Worker& worker) {
  pollfd polled{.fd = worker.fd().get(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(::poll(&polled, 1, 5000), 1);
  worker.Collect();
}

TEST(Worker, RunsInOrderOnOneThreadAndReportsOnTheCallers) {
  auto worker = Worker::Start().value();
  std::vector<std::string> order;
  std::thread::id first, second, reported;
  worker->Run(
      [&] {
        first = std::this_thread::get_id();
        return Status();
      },
      [&](Status status) { order.push_back(status ? "ok" : "failed"); });
  worker->Run(
      [&]() -> Status {
        second = std::this_thread::get_id();
        return Fail(Code::kTimeout, "late");
      },
      [&](Status status) {
        reported = std::this_thread::get_id();
        order.push_back(status.error().message());
      });
  EXPECT_TRUE(worker->busy());
  while (worker->busy()) CollectOne(*worker);
  EXPECT_THAT(order, ElementsAre("ok", "late"));
  EXPECT_EQ(first, second);
  EXPECT_NE(first, std::this_thread::get_id());
  EXPECT_EQ(reported, std::this_thread::get_id());
}

TEST(Worker, ADoneMayRunTheNextTask) {
  auto worker = Worker::Start().value();
  int runs = 0;
  const auto task = [&] {
    ++runs;
    return Status();
  };
  worker->Run(task, [&](Status) { worker->Run(task, [](Status) {}); });
  while (worker->busy()) CollectOne(*worker);
  EXPECT_EQ(runs, 2);
}

TEST(Worker, EndsWithTasksWaiting) {
  auto worker = Worker::Start().value();
  worker->Run(
      [] {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        return Status();
      },
      [](Status) {});
  worker->Run(
      []() -> Status {
        ADD_FAILURE() << "must not run";
        return {};
      },
      [](Status) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  worker.reset();
}

}  // namespace
}  // namespace holdfast::warden
