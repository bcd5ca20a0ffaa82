#include "storage/extent_index.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "storage/digest.h"

namespace holdfast::storage {
namespace {

// Memory is put in pieces of at most a window of addresses, never across two.
uint64_t WindowOf(const ExtentRow& extent) {
  constexpr int kBitsOfWindows = 40;
  return uint64_t{extent.pid} << kBitsOfWindows | extent.address / kExtentBytes;
}

// Tables of a part that grow by rows of another one.
class Merge {
 public:
  explicit Merge(Part& into) : into_(into) {
    for (uint32_t i = 0; i < into.packs.size(); ++i) packs_.emplace(into.packs[i].name, i);
    for (uint32_t i = 0; i < into.blobs.size(); ++i) blobs_.emplace(LocationOf(into.blobs[i]), i);
  }

  // The number of another part's blob in this one.
  uint32_t Add(BlobRow blob, const PackRow& pack, std::span<const BlockDigest> blocks) {
    const auto [pack_entry, new_pack] =
        packs_.emplace(pack.name, static_cast<uint32_t>(into_.packs.size()));
    if (new_pack) into_.packs.push_back(pack);
    blob.pack = pack_entry->second;
    const auto [entry, is_new] =
        blobs_.emplace(LocationOf(blob), static_cast<uint32_t>(into_.blobs.size()));
    if (is_new) {
      into_.blobs.push_back(blob);
      into_.blocks.insert(into_.blocks.end(), blocks.begin(), blocks.end());
    }
    return entry->second;
  }

 private:
  // A pack is at most 1 GiB.
  static uint64_t LocationOf(const BlobRow& blob) {
    return uint64_t{blob.pack} << 32 | blob.offset;
  }

  Part& into_;
  std::unordered_map<std::string, uint32_t> packs_;
  std::unordered_map<uint64_t, uint32_t> blobs_;
};

}  // namespace

Digest KeyOf(std::span<const BlockDigest> blocks) { return HashOf(std::as_bytes(blocks)); }

size_t DigestHash::operator()(const Digest& digest) const {
  size_t value;
  std::memcpy(&value, digest.data(), sizeof value);
  return value;
}

Place PlaceOf(const std::string& stream, uint64_t offset, uint32_t pid, uint64_t address) {
  if (address != 0) return {pid, address};
  // Apart from all pids; that two streams might share a space only makes a look-up in vain.
  return {std::hash<std::string>()(stream) | 1ULL << 63, offset};
}

ExtentIndex::ExtentIndex(Part previous, const std::vector<bool>& usable)
    : part_(std::move(previous)), usable_(usable), first_blocks_(part_.FirstBlocks()) {
  blobs_.reserve(part_.blobs.size());
  for (uint32_t i = 0; i < part_.blobs.size(); ++i)
    if (usable[part_.blobs[i].pack]) blobs_.emplace(KeyOf(BlocksOf(i)), i);
  extents_.reserve(part_.extents.size());
  for (uint32_t i = 0; i < part_.extents.size(); ++i) {
    const ExtentRow& extent = part_.extents[i];
    if (!usable[part_.blobs[extent.blob].pack]) continue;
    extents_.emplace_back(
        PlaceOf(part_.streams[extent.stream].name, extent.offset, extent.pid, extent.address), i);
  }
  std::ranges::sort(extents_);
}

ExtentIndex ExtentIndex::Below(Part newer) const {
  std::unordered_set<uint64_t> covered;
  for (const ExtentRow& extent : newer.extents)
    if (extent.address != 0) covered.insert(WindowOf(extent));
  // What is no longer whole, because of covered windows or of packs that cannot be used, must not
  // be found as a stream: it loses its name.
  std::unordered_set<uint32_t> partial;
  for (const ExtentRow& extent : part_.extents)
    if (extent.address != 0 || !usable_[part_.blobs[extent.blob].pack])
      partial.insert(extent.stream);
  const auto first_stream = static_cast<uint32_t>(newer.streams.size());
  for (uint32_t i = 0; i < part_.streams.size(); ++i) {
    newer.streams.push_back(part_.streams[i]);
    if (partial.contains(i)) newer.streams.back().name.clear();
  }
  Merge merge(newer);
  std::vector<uint32_t> numbers(part_.blobs.size());
  for (uint32_t i = 0; i < part_.blobs.size(); ++i)
    if (const BlobRow& blob = part_.blobs[i]; usable_[blob.pack])
      numbers[i] = merge.Add(blob, part_.packs[blob.pack], BlocksOf(i));
  for (ExtentRow extent : part_.extents) {
    if (!usable_[part_.blobs[extent.blob].pack] ||
        (extent.address != 0 && covered.contains(WindowOf(extent))))
      continue;
    extent.blob = numbers[extent.blob];
    extent.stream += first_stream;
    newer.extents.push_back(extent);
  }
  newer.images = part_.images;
  const size_t packs = newer.packs.size();
  return ExtentIndex(std::move(newer), std::vector<bool>(packs, true));
}

std::span<const BlockDigest> ExtentIndex::BlocksOf(uint32_t blob) const {
  return std::span(part_.blocks).subspan(first_blocks_[blob], part_.blobs[blob].blocks());
}

std::optional<uint32_t> ExtentIndex::FindBlob(const Digest& key) const {
  const auto found = blobs_.find(key);
  if (found == blobs_.end()) return std::nullopt;
  return found->second;
}

std::optional<ExtentIndex::Stream> ExtentIndex::FindStream(const std::string& name) const {
  const auto found = std::ranges::find(part_.streams, name, &PodReader::Stream::name);
  if (found == part_.streams.end()) return std::nullopt;
  const auto extents = std::ranges::equal_range(
      part_.extents, static_cast<uint32_t>(found - part_.streams.begin()), {}, &ExtentRow::stream);
  Stream stream{.size_bytes = found->size_bytes, .extents = {extents.begin(), extents.end()}};
  for (const ExtentRow& extent : stream.extents)
    if (!usable_[part_.blobs[extent.blob].pack]) return std::nullopt;
  return stream;
}

std::vector<std::optional<BlockPlace>> ExtentIndex::FindUnchanged(
    Place place, std::span<const BlockDigest> blocks) const {
  std::vector<std::optional<BlockPlace>> unchanged(blocks.size());
  const auto begins_after = [](Place at, const auto& entry) { return at < entry.first; };
  auto next = std::upper_bound(extents_.begin(), extents_.end(), place, begins_after);
  for (size_t i = 0; i < blocks.size(); ++i, place.position += kBlockBytes) {
    while (next != extents_.end() && next->first <= place) ++next;
    if (next == extents_.begin()) continue;
    const auto& [start, row] = *std::prev(next);
    const ExtentRow& extent = part_.extents[row];
    const uint64_t distance = place.position - start.position;
    if (start.space != place.space || distance >= extent.length_bytes ||
        distance % kBlockBytes != 0)
      continue;
    const uint32_t blob_offset = extent.blob_offset + static_cast<uint32_t>(distance);
    if (BlocksOf(extent.blob)[blob_offset / kBlockBytes] == blocks[i])
      unchanged[i] = BlockPlace{extent.blob, blob_offset};
  }
  return unchanged;
}

}  // namespace holdfast::storage
