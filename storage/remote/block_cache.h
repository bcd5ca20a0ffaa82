// Blocks of objects, fetched or being fetched, for all readers of a back end: so that what is held
// in memory does not grow with the number of objects that are open. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <vector>

#include "base/result.h"

namespace holdfast::storage::remote {

class BlockCache {
 public:
  using Block = Result<std::vector<std::byte>>;
  using Future = std::shared_future<std::shared_ptr<const Block>>;

  // Keeps the `limit` blocks that were asked for last, and more only while they are being fetched.
  explicit BlockCache(size_t limit) : limit_(limit) {}

  struct Got {
    Future block;
    bool was_there = false;
  };
  // The reader's block of that number; starts `fetch` on a thread of its own if it is not there.
  Got Get(const void* reader, uint64_t index, std::function<Block()> fetch);
  // Drops the reader's blocks, after waiting for those that are being fetched.
  void Forget(const void* reader);

 private:
  struct Entry {
    const void* reader;
    uint64_t index;
    Future block;
  };
  const size_t limit_;
  std::mutex mutex_;
  std::deque<Entry> entries_;  // oldest first
};

}  // namespace holdfast::storage::remote
