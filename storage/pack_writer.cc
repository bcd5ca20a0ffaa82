#include "storage/pack_writer.h"

#include <algorithm>
#include <ranges>
#include <tuple>

#include "storage/layout.h"

namespace holdfast::storage {

Result<Packs::New> Packs::Add() {
  uint32_t index;
  std::string name;
  std::optional<CipherKey> key;
  if (encrypted_) key = RandomKey();
  {
    const std::lock_guard lock(mutex_);
    index = static_cast<uint32_t>(rows_.size());
    name = PackKey(checkpoint_, pod_, index - before_);
    rows_.push_back({name, 0, key});
  }
  HOLDFAST_TRY(auto writer, backend_.Create(name));
  return New{index, key, std::move(writer)};
}

void Packs::Finished(uint32_t index, uint64_t size_bytes) {
  const std::lock_guard lock(mutex_);
  rows_[index].size_bytes = size_bytes;
}

std::vector<PackRow> Packs::rows() const {
  const std::lock_guard lock(mutex_);
  return rows_;
}

uint64_t Packs::stored_bytes() const {
  const std::lock_guard lock(mutex_);
  uint64_t size = 0;
  for (size_t i = before_; i < rows_.size(); ++i) size += rows_[i].size_bytes;
  return size;
}

void Packs::Remove(std::span<const PackRow> named) {
  // What cannot be deleted now is debris that the next Prune finds.
  for (const PackRow& row : rows() | std::views::drop(before_))
    if (row.size_bytes > 0 && !std::ranges::contains(named, row.name, &PackRow::name))
      std::ignore = backend_.Delete(row.name);
}

Result<PackWriter::Location> PackWriter::Append(std::span<const std::byte> data) {
  const size_t size = data.size() + (packs_.encrypted() ? kSealBytes : 0);
  if (pack_.writer && written_bytes_ + buffer_.size() + size > kPackBytes) HOLDFAST_CHECK(Finish());
  if (!pack_.writer) {
    HOLDFAST_TRY(pack_, packs_.Add());
    written_bytes_ = 0;
    buffer_.reserve(buffer_bytes_);
  }
  const Location location{pack_.index, written_bytes_ + buffer_.size(),
                          static_cast<uint32_t>(size)};
  if (pack_.key) {
    sealed_.resize(size);
    Seal(*pack_.key, NonceOf(location.offset), "", data, sealed_);
    data = sealed_;
  }
  while (!data.empty()) {
    const size_t piece = std::min(data.size(), buffer_.capacity() - buffer_.size());
    buffer_.insert(buffer_.end(), data.begin(), data.begin() + static_cast<ptrdiff_t>(piece));
    data = data.subspan(piece);
    if (buffer_.size() == buffer_.capacity()) HOLDFAST_CHECK(Flush());
  }
  return location;
}

Status PackWriter::Finish() {
  if (!pack_.writer) return {};
  HOLDFAST_CHECK(Flush());
  const Status finished = pack_.writer->Finish();
  pack_.writer.reset();
  // After an error it may be there all the same, unless the name is somebody else's.
  if (finished || finished.error().code() != Code::kConflict)
    packs_.Finished(pack_.index, written_bytes_);
  return finished;
}

Status PackWriter::Flush() {
  HOLDFAST_CHECK(pack_.writer->Append(buffer_));
  written_bytes_ += buffer_.size();
  buffer_.clear();
  return {};
}

}  // namespace holdfast::storage
