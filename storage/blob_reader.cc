#include "storage/blob_reader.h"

#include <zstd.h>

#include <algorithm>
#include <cstring>

#include "storage/digest.h"

namespace holdfast::storage {

BlobReader::Content BlobReader::Cache::Find(const BlobRow& blob) {
  const std::lock_guard lock(mutex_);
  for (const auto& [place, content] : entries_)
    if (content && place == Place(blob.pack, blob.offset)) return content;
  return nullptr;
}

void BlobReader::Cache::Add(const BlobRow& blob, Content content) {
  const std::lock_guard lock(mutex_);
  entries_[next_] = {{blob.pack, blob.offset}, std::move(content)};
  next_ = (next_ + 1) % entries_.size();
}

Status BlobReader::Read(const LoadedShard& shard, uint32_t number, uint32_t offset,
                        std::span<std::byte> out) {
  const BlobRow& blob = shard.blobs()[number];
  const bool as_is = blob.codec == Codec::kRaw && !packs_.sealed(blob.pack);
  const bool whole_blocks = offset % kBlockBytes == 0 && (out.size() % kBlockBytes == 0 ||
                                                          offset + out.size() == blob.raw_bytes);
  if (as_is && whole_blocks) return ReadBlocks(shard, number, offset, out);
  if (out.size() == blob.raw_bytes) return ReadWhole(shard, number, out);
  Content content = cache_.Find(blob);
  if (!content) {
    auto whole = std::make_shared<std::vector<std::byte>>(blob.raw_bytes);
    HOLDFAST_CHECK(ReadWhole(shard, number, *whole));
    content = std::move(whole);
    cache_.Add(blob, content);
  }
  std::memcpy(out.data(), content->data() + offset, out.size());
  return {};
}

Status BlobReader::ReadBlocks(const LoadedShard& shard, uint32_t number, uint32_t offset,
                              std::span<std::byte> out) {
  const BlobRow& blob = shard.blobs()[number];
  HOLDFAST_CHECK(packs_.ReadStored(blob.pack, blob.offset + offset, out));
  return Verify(shard, number, offset, out);
}

Status BlobReader::ReadWhole(const LoadedShard& shard, uint32_t number, std::span<std::byte> out) {
  const BlobRow& blob = shard.blobs()[number];
  if (blob.codec == Codec::kRaw) {
    HOLDFAST_CHECK(packs_.ReadWhole(blob.pack, blob.offset, out));
    return Verify(shard, number, 0, out);
  }
  const bool sealed = packs_.sealed(blob.pack);
  thread_local std::vector<std::byte> payload;
  payload.resize(blob.stored_bytes - (sealed ? kSealBytes : 0));
  HOLDFAST_CHECK(packs_.ReadWhole(blob.pack, blob.offset, payload));
  if (!sealed && HashOf(payload) != blob.digest) return packs_.Damaged(blob.pack, blob.offset);
  const size_t size = ZSTD_decompress(out.data(), out.size(), payload.data(), payload.size());
  if (ZSTD_isError(size) || size != out.size()) return packs_.Damaged(blob.pack, blob.offset);
  return Verify(shard, number, 0, out);
}

// `data` lies at `offset` of the blob and is whole blocks of it.
Status BlobReader::Verify(const LoadedShard& shard, uint32_t number, uint32_t offset,
                          std::span<const std::byte> data) const {
  auto digest = shard.BlocksOf(number).subspan(offset / kBlockBytes).begin();
  for (size_t done = 0; done < data.size(); done += kBlockBytes, ++digest) {
    const auto bytes = data.subspan(done, std::min(kBlockBytes, data.size() - done));
    if (BlockDigestOf(bytes) != *digest) {
      const BlobRow& blob = shard.blobs()[number];
      return packs_.Damaged(blob.pack, blob.offset + offset + done);
    }
  }
  return {};
}

}  // namespace holdfast::storage
