#include "storage/stored_part.h"

#include <algorithm>
#include <utility>

#include "storage/digest.h"

namespace holdfast::storage {

StoredPart::StoredPart(Backend& backend, Part part, size_t kept)
    : part_(std::move(part)),
      spans_(std::move(part_.spans)),
      packs_(backend, part_.packs),
      limit_(std::max<size_t>(kept, 1)),
      slots_(part_.shards.size()) {
  const auto spans = SpansOf(part_.rest, static_cast<uint32_t>(slots_.size()));
  spans_.insert(spans_.end(), spans.begin(), spans.end());
  std::ranges::sort(spans_, {},
                    [](const SpanRow& span) { return std::pair(span.stream, span.offset); });
  rest_ = std::make_shared<const LoadedShard>(std::exchange(part_.rest, {}));
}

Result<StoredPart::ShardPtr> StoredPart::Shard(uint32_t number) {
  if (number == slots_.size()) return rest_;
  if (ShardPtr shard = Find(number)) return shard;
  const std::lock_guard loading(slots_[number].loading);
  if (ShardPtr shard = Find(number)) return shard;
  HOLDFAST_TRY(ShardPtr shard, Load(part_.shards[number]));
  Keep(number, shard);
  return shard;
}

StoredPart::ShardPtr StoredPart::Find(uint32_t number) {
  const std::lock_guard lock(mutex_);
  const Slot& slot = slots_[number];
  if (slot.shard) recent_.splice(recent_.begin(), recent_, slot.recent);
  return slot.shard;
}

Result<StoredPart::ShardPtr> StoredPart::Load(const ShardRow& row) {
  std::vector<std::byte> file(row.stored_bytes - (packs_.sealed(row.pack) ? kSealBytes : 0));
  HOLDFAST_CHECK(packs_.ReadWhole(row.pack, row.offset, file));
  if (HashOf(file) != row.digest) return packs_.Damaged(row.pack, row.offset);
  HOLDFAST_TRY(storage::Shard shard, DecodeShard(file));
  HOLDFAST_CHECK(CheckBlobs(shard, part_.packs));
  HOLDFAST_CHECK(CheckExtents(shard, part_.streams));
  return std::make_shared<const LoadedShard>(std::move(shard));
}

void StoredPart::Keep(uint32_t number, ShardPtr shard) {
  const std::lock_guard lock(mutex_);
  if (recent_.size() == limit_) {
    slots_[recent_.back()].shard.reset();
    recent_.pop_back();
  }
  recent_.push_front(number);
  slots_[number].recent = recent_.begin();
  slots_[number].shard = std::move(shard);
}

size_t StoredPart::kept() const {
  const std::lock_guard lock(mutex_);
  return recent_.size();
}

}  // namespace holdfast::storage
