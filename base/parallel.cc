#include "base/parallel.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

namespace holdfast {

Status ForEachParallel(unsigned threads, size_t count, const std::function<Status(size_t)>& work) {
  std::atomic<size_t> next = 0;
  std::atomic<bool> failed = false;
  std::mutex mutex;
  Status first;
  const auto run = [&] {
    while (!failed) {
      const size_t i = next++;
      if (i >= count) return;
      if (Status status = work(i); !status) {
        const std::lock_guard lock(mutex);
        if (!failed.exchange(true)) first = std::move(status);
      }
    }
  };
  const size_t wanted = std::clamp<size_t>(threads, 1, std::max<size_t>(count, 1));
  std::vector<std::jthread> others;
  for (size_t i = 1; i < wanted; ++i) others.emplace_back(run);
  run();
  others.clear();
  return first;
}

}  // namespace holdfast
