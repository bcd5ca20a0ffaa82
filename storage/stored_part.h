// A part whose shards are read when they are asked for, and a few of them kept. Used by
// pod_reader.cc for what is restored, and by compared_part.cc for what a new checkpoint is compared
// with. Thread-safe.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <vector>

#include "base/result.h"
#include "storage/backend.h"
#include "storage/pack_readers.h"
#include "storage/part.h"

namespace holdfast::storage {

class StoredPart {
 public:
  using ShardPtr = std::shared_ptr<const LoadedShard>;

  // `backend` must outlive this, which keeps at most so many shards of those in packs.
  StoredPart(Backend& backend, Part part, size_t kept);

  const Part& part() const { return part_; }
  PackReaders& packs() { return packs_; }
  // By stream and offset. Those of a stream may overlap.
  const std::vector<SpanRow>& spans() const { return spans_; }
  uint32_t shards() const { return static_cast<uint32_t>(slots_.size()) + 1; }
  // kCorrupt if it is not what was written, or breaks a rule of the format.
  Result<ShardPtr> Shard(uint32_t number);
  // Of those in packs, what is in memory now.
  size_t kept() const;

 private:
  struct Slot {
    std::mutex loading;  // whoever has it reads the shard, others wait for it
    ShardPtr shard;      // guarded by StoredPart::mutex_
    std::list<uint32_t>::iterator recent;
  };

  ShardPtr Find(uint32_t number);
  Result<ShardPtr> Load(const ShardRow& row);
  void Keep(uint32_t number, ShardPtr shard);

  Part part_;  // without what moved to the next two
  ShardPtr rest_;
  std::vector<SpanRow> spans_;
  PackReaders packs_;
  const size_t limit_;
  std::vector<Slot> slots_;
  mutable std::mutex mutex_;
  std::list<uint32_t> recent_;  // shards that are kept, the one used last in front
};

}  // namespace holdfast::storage
