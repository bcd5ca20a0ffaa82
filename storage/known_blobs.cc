#include "storage/known_blobs.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "storage/digest.h"

namespace holdfast::storage {
namespace {

constexpr size_t kFirstEntries = 64;

// Full at three quarters, so that looking for what is not there ends soon.
size_t MostUsed(size_t entries) { return entries - entries / 4; }

// It is a hash already.
size_t PlaceOf(const ContentKey& key) {
  size_t value;
  std::memcpy(&value, key.data(), sizeof value);
  return value;
}

}  // namespace

ContentKey KeyOf(std::span<const BlockDigest> blocks) {
  const Digest whole = HashOf(std::as_bytes(blocks));
  ContentKey key;
  std::copy_n(whole.begin(), key.size(), key.begin());
  return key;
}

// While it grows there are two tables, of which one has half the size of the other.
KnownBlobs::KnownBlobs(size_t limit_bytes)
    : limit_(std::max(kFirstEntries, std::bit_floor(limit_bytes / 3 * 2 / sizeof(Entry)))),
      entries_(kFirstEntries) {
  static_assert(sizeof(Entry) == 64);
}

// Where the key is, or would be.
size_t KnownBlobs::SlotOf(const ContentKey& key) const {
  const size_t mask = entries_.size() - 1;
  size_t slot = PlaceOf(key) & mask;
  while (entries_[slot].raw_bytes != 0 && entries_[slot].key != key) slot = (slot + 1) & mask;
  return slot;
}

std::optional<BlobRow> KnownBlobs::Find(const ContentKey& key) const {
  const std::lock_guard lock(mutex_);
  const Entry& entry = entries_[SlotOf(key)];
  if (entry.raw_bytes == 0) return std::nullopt;
  return BlobRow{.pack = entry.pack,
                 .codec = static_cast<Codec>(entry.codec),
                 .offset = entry.offset,
                 .stored_bytes = entry.stored_bytes,
                 .raw_bytes = entry.raw_bytes,
                 .digest = entry.digest};
}

void KnownBlobs::Add(const ContentKey& key, const BlobRow& blob) {
  const Entry added{.key = key,
                    .digest = blob.digest,
                    .pack = blob.pack,
                    .offset = static_cast<uint32_t>(blob.offset),
                    .stored_bytes = blob.stored_bytes,
                    .raw_bytes = blob.raw_bytes,
                    .codec = static_cast<uint8_t>(blob.codec)};
  const std::lock_guard lock(mutex_);
  size_t slot = SlotOf(key);
  if (entries_[slot].raw_bytes == 0) {
    if (used_ == MostUsed(entries_.size())) {
      if (entries_.size() < limit_)
        Grow();
      else
        ForgetOne();
      slot = SlotOf(key);
    }
    ++used_;
  }
  entries_[slot] = added;
}

void KnownBlobs::ForgetOne() {
  const size_t mask = entries_.size() - 1;
  while (entries_[hand_].raw_bytes == 0) hand_ = (hand_ + 1) & mask;
  // Whoever went on from here because it was taken, is moved up, or would not be found.
  size_t hole = hand_;
  for (size_t at = (hole + 1) & mask; entries_[at].raw_bytes != 0; at = (at + 1) & mask) {
    const size_t wanted = PlaceOf(entries_[at].key) & mask;
    if (((at - wanted) & mask) < ((at - hole) & mask)) continue;
    entries_[hole] = entries_[at];
    hole = at;
  }
  entries_[hole] = {};
  hand_ = (hand_ + 1) & mask;
  --used_;
}

void KnownBlobs::Grow() {
  std::vector<Entry> old(entries_.size() * 2);
  std::swap(old, entries_);
  for (const Entry& entry : old)
    if (entry.raw_bytes != 0) entries_[SlotOf(entry.key)] = entry;
}

size_t KnownBlobs::size_bytes() const {
  const std::lock_guard lock(mutex_);
  return entries_.size() * sizeof(Entry);
}

}  // namespace holdfast::storage
