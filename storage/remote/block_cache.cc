#include "storage/remote/block_cache.h"

#include <algorithm>
#include <chrono>

namespace holdfast::storage::remote {
namespace {

bool IsReady(const BlockCache::Future& block) {
  return block.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

}  // namespace

BlockCache::Got BlockCache::Get(const void* reader, uint64_t index, std::function<Block()> fetch) {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find_if(
      entries_, [&](const Entry& entry) { return entry.reader == reader && entry.index == index; });
  if (found != entries_.end()) return {.block = found->block, .was_there = true};
  // Only a fetch that has ended may go: dropping the last reference to another would wait for it.
  if (entries_.size() >= limit_)
    if (const auto old = std::ranges::find_if(entries_, IsReady, &Entry::block);
        old != entries_.end())
      entries_.erase(old);
  Future block = std::async(std::launch::async, [fetch = std::move(fetch)] {
                   return std::make_shared<const Block>(fetch());
                 }).share();
  entries_.push_back({.reader = reader, .index = index, .block = block});
  return {.block = std::move(block)};
}

void BlockCache::Forget(const void* reader) {
  std::vector<Entry> dropped;  // destroyed, which waits, after the lock is let go
  const std::lock_guard lock(mutex_);
  const auto theirs = std::ranges::stable_partition(
      entries_, [&](const Entry& entry) { return entry.reader != reader; });
  dropped.assign(std::make_move_iterator(theirs.begin()), std::make_move_iterator(theirs.end()));
  entries_.erase(theirs.begin(), theirs.end());
}

}  // namespace holdfast::storage::remote
