#include "storage/budget.h"

#include <algorithm>

#include "storage/compression.h"
#include "storage/shard.h"

namespace holdfast::storage {
namespace {

// Files that one pod writes at once: enough for a parallel filesystem, few for its metadata server.
constexpr size_t kMaxLanes = 4;
// What is always there of the tables, as if they were shards: one that grows, with room to, one
// that is full, that one encoded and encrypted, and the write buffer of the pack that it goes to.
constexpr size_t kShardsUnderWay = 7;
constexpr size_t kLeastKnownBytes = 1 << 20;
constexpr size_t kLeastShards = 1;
// What has been stored ahead, and the checkpoint before.
constexpr size_t kPartsCompared = 2;

}  // namespace

Budget::Budget(const WriteOptions& options, size_t write_bytes) {
  const uint64_t total = options.memory_budget_bytes;
  constexpr uint64_t kLeastTables = kShardsUnderWay * kShardBytes + kLeastKnownBytes +
                                    kPartsCompared * kLeastShards * kMaxShardBytes;
  // A quarter for tables, half of which is for what is known by its content.
  const uint64_t tables = std::max(total / 4, kLeastTables);
  const uint64_t free = tables - kShardsUnderWay * kShardBytes;
  known_bytes = std::max<uint64_t>(free / 2, kLeastKnownBytes);
  shards = std::max<size_t>((free - known_bytes) / kPartsCompared / kMaxShardBytes, kLeastShards);
  // Of the rest half for each of the two kinds of buffers, but never none.
  const auto count = [&](uint64_t bytes, size_t size_bytes, size_t most) {
    return std::clamp<size_t>(bytes / size_bytes, 1, std::max<size_t>(most, 1));
  };
  uint64_t rest = total - std::min(total, tables);
  lanes = count(rest / 2, write_bytes, std::min<size_t>(options.threads, kMaxLanes));
  rest -= std::min<uint64_t>(rest, lanes * write_bytes);
  compressors = count(rest, Compressor::kMemoryBytes, options.threads);
}

uint64_t Budget::size_bytes(size_t write_bytes) const {
  return lanes * write_bytes + compressors * Compressor::kMemoryBytes + known_bytes +
         kPartsCompared * shards * kMaxShardBytes + kShardsUnderWay * kShardBytes;
}

// Three times of it are there while it is read, and buffers are not there yet.
uint64_t LargestPartRead(const WriteOptions& options) {
  constexpr uint64_t kOfAnyProcesses = 16 << 20;
  return std::max(options.memory_budget_bytes / 4, kOfAnyProcesses);
}

uint64_t LargestTablesKept(const WriteOptions& options) {
  return std::max<uint64_t>(options.memory_budget_bytes / 8, kMaxShardBytes);
}

}  // namespace holdfast::storage
