// The controller's requests to Slurm, on a few threads, so that a slow slurmctld holds up nobody
// and what is urgent does not queue behind what is not. Requests about one subject (a job, a node)
// are made one at a time, in the order in which they came, and all of them are as urgent as the
// most urgent that waits. Thread-safe.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

namespace holdfast::coordinator {

enum class Lane {
  kUrgent,    // the job is about to lose its nodes
  kOrdinary,  // somebody waits for it
  kPolling,   // what is done anyway, again and again
};
inline constexpr size_t kLanes = 3;
const char* LaneName(Lane lane);

class SlurmLanes {
 public:
  using Request = std::function<void()>;

  SlurmLanes() = default;
  ~SlurmLanes() { Stop(); }
  SlurmLanes(const SlurmLanes&) = delete;
  SlurmLanes& operator=(const SlurmLanes&) = delete;

  void Start();
  // Waits for requests under way; those that wait are dropped.
  void Stop();
  void Push(Lane lane, const std::string& subject, Request request);
  // How many requests wait, by lane.
  std::array<size_t, kLanes> Waiting();

 private:
  struct Queued {
    Lane lane;
    uint64_t number;  // rises with every request
    Request request;
  };
  struct Subject {
    std::deque<Queued> waiting;
    bool under_way = false;
    std::tuple<Lane, uint64_t> rank;  // in ready_, if it has something waiting and none under way
  };
  using Subjects = std::map<std::string, Subject>;

  void Run();
  // With the mutex held: its first request may be made next.
  void MakeReady(Subjects::iterator subject);

  std::mutex mutex_;
  std::condition_variable changed_;
  Subjects subjects_;
  std::map<std::tuple<Lane, uint64_t>, Subjects::iterator> ready_;  // the first is next
  uint64_t pushed_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace holdfast::coordinator
