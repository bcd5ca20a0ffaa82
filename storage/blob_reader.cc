#include "storage/blob_reader.h"

#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>

#include "storage/digest.h"

namespace holdfast::storage {

BlobReader::Content BlobReader::Cache::Find(uint32_t blob) {
  const std::lock_guard lock(mutex_);
  for (const auto& [number, content] : entries_)
    if (content && number == blob) return content;
  return nullptr;
}

void BlobReader::Cache::Add(uint32_t blob, Content content) {
  const std::lock_guard lock(mutex_);
  entries_[next_] = {blob, std::move(content)};
  next_ = (next_ + 1) % entries_.size();
}

Result<std::unique_ptr<BlobReader>> BlobReader::Open(Backend& backend, const Part& part) {
  std::vector<std::unique_ptr<ObjectReader>> packs;
  for (const PackRow& pack : part.packs) {
    HOLDFAST_TRY(auto reader, backend.Open(pack.name));
    packs.push_back(std::move(reader));
  }
  return std::unique_ptr<BlobReader>(new BlobReader(backend, part, std::move(packs)));
}

BlobReader::BlobReader(Backend& backend, const Part& part,
                       std::vector<std::unique_ptr<ObjectReader>> packs)
    : backend_(backend), part_(part), first_blocks_(part.FirstBlocks()), packs_(std::move(packs)) {}

Status BlobReader::Read(uint32_t number, uint32_t offset, std::span<std::byte> out) {
  const BlobRow& blob = part_.blobs[number];
  const bool as_is = blob.codec == Codec::kRaw && !part_.packs[blob.pack].key;
  const bool whole_blocks = offset % kBlockBytes == 0 && (out.size() % kBlockBytes == 0 ||
                                                          offset + out.size() == blob.raw_bytes);
  if (as_is && whole_blocks) return ReadBlocks(number, offset, out);
  if (out.size() == blob.raw_bytes) return ReadWhole(number, out);
  Content content = cache_.Find(number);
  if (!content) {
    auto whole = std::make_shared<std::vector<std::byte>>(blob.raw_bytes);
    HOLDFAST_CHECK(ReadWhole(number, *whole));
    content = std::move(whole);
    cache_.Add(number, content);
  }
  std::memcpy(out.data(), content->data() + offset, out.size());
  return {};
}

Status BlobReader::ReadBlocks(uint32_t number, uint32_t offset, std::span<std::byte> out) const {
  HOLDFAST_CHECK(ReadStored(part_.blobs[number], offset, out));
  return Verify(number, offset, out);
}

Status BlobReader::ReadWhole(uint32_t number, std::span<std::byte> out) const {
  const BlobRow& blob = part_.blobs[number];
  const bool sealed = part_.packs[blob.pack].key.has_value();
  if (blob.codec == Codec::kRaw) {
    HOLDFAST_CHECK(sealed ? ReadSealed(blob, out) : ReadStored(blob, 0, out));
    return Verify(number, 0, out);
  }
  thread_local std::vector<std::byte> payload;
  payload.resize(blob.stored_bytes - (sealed ? kSealBytes : 0));
  if (sealed) {
    HOLDFAST_CHECK(ReadSealed(blob, payload));
  } else {
    HOLDFAST_CHECK(ReadStored(blob, 0, payload));
    if (HashOf(payload) != blob.digest) return Damaged(blob, 0);
  }
  const size_t size = ZSTD_decompress(out.data(), out.size(), payload.data(), payload.size());
  if (ZSTD_isError(size) || size != out.size()) return Damaged(blob, 0);
  return Verify(number, 0, out);
}

Status BlobReader::ReadSealed(const BlobRow& blob, std::span<std::byte> payload) const {
  thread_local std::vector<std::byte> stored;
  stored.resize(blob.stored_bytes);
  HOLDFAST_CHECK(ReadStored(blob, 0, stored));
  if (!Unseal(*part_.packs[blob.pack].key, NonceOf(blob.offset), "", stored, payload))
    return Damaged(blob, 0);
  return {};
}

Status BlobReader::ReadStored(const BlobRow& blob, uint32_t offset,
                              std::span<std::byte> out) const {
  return packs_[blob.pack]->ReadAt(blob.offset + offset, out);
}

// `data` lies at `offset` of the blob and is whole blocks of it.
Status BlobReader::Verify(uint32_t number, uint32_t offset, std::span<const std::byte> data) const {
  size_t block = first_blocks_[number] + offset / kBlockBytes;
  for (size_t done = 0; done < data.size(); done += kBlockBytes, ++block) {
    const auto bytes = data.subspan(done, std::min(kBlockBytes, data.size() - done));
    if (BlockDigestOf(bytes) != part_.blocks[block])
      return Damaged(part_.blobs[number], offset + done);
  }
  return {};
}

Status BlobReader::Damaged(const BlobRow& blob, uint64_t offset) const {
  return Fail(Code::kCorrupt,
              fmt::format("{}: the data at {} is not what was written there",
                          backend_.Describe(part_.packs[blob.pack].name), blob.offset + offset));
}

}  // namespace holdfast::storage
