#include "storage/pack_readers.h"

#include <fmt/format.h>

namespace holdfast::storage {

Status PackReaders::OpenAll() {
  for (uint32_t pack = 0; pack < packs_.size(); ++pack) HOLDFAST_CHECK(ReaderOf(pack));
  return {};
}

Result<const ObjectReader*> PackReaders::ReaderOf(uint32_t pack) {
  const std::lock_guard lock(mutex_);
  if (!readers_[pack]) {
    HOLDFAST_TRY(readers_[pack], backend_.Open(packs_[pack].name));
  }
  return readers_[pack].get();
}

Status PackReaders::ReadStored(uint32_t pack, uint64_t offset, std::span<std::byte> out) {
  HOLDFAST_TRY(const ObjectReader* reader, ReaderOf(pack));
  return reader->ReadAt(offset, out);
}

Status PackReaders::ReadWhole(uint32_t pack, uint64_t offset, std::span<std::byte> out) {
  if (!sealed(pack)) return ReadStored(pack, offset, out);
  thread_local std::vector<std::byte> stored;
  stored.resize(out.size() + kSealBytes);
  HOLDFAST_CHECK(ReadStored(pack, offset, stored));
  if (!Unseal(*packs_[pack].key, NonceOf(offset), "", stored, out)) return Damaged(pack, offset);
  return {};
}

std::unexpected<Error> PackReaders::Damaged(uint32_t pack, uint64_t offset) const {
  return Fail(Code::kCorrupt, fmt::format("{}: the data at {} is not what was written there",
                                          backend_.Describe(packs_[pack].name), offset));
}

}  // namespace holdfast::storage
