#include "storage/remote/download.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "storage/remote/crc32c.h"
#include "storage/remote/retry.h"

namespace holdfast::storage::remote {
namespace {

// Fetched ahead of a reader that goes through the object in order: with a few tens of milliseconds
// to the first byte, one transfer at a time leaves most of the link unused.
constexpr uint64_t kAhead = 3;

}  // namespace

Download::Download(Service& service, Source source, std::string what)
    : service_(service),
      source_(std::move(source)),
      what_(std::move(what)),
      block_crcs_((source_.size_bytes + service.read_bytes() - 1) / service.read_bytes()),
      unchecked_(block_crcs_.size()) {}

uint64_t Download::BlockSize(uint64_t index) const {
  const uint64_t full = service_.read_bytes();
  return std::min<uint64_t>(full, source_.size_bytes - index * full);
}

Status Download::ReadAt(uint64_t offset, std::span<std::byte> out) const {
  if (out.size() > source_.size_bytes || offset > source_.size_bytes - out.size())
    return Fail(Code::kCorrupt, fmt::format("{} at {}: the object ends at {} bytes", what_, offset,
                                            source_.size_bytes));
  const uint64_t full = service_.read_bytes();
  while (!out.empty()) {
    const auto block = Get(offset / full).get();
    if (!*block) return std::unexpected(block->error());
    const auto rest = std::span(**block).subspan(offset % full);
    const size_t length = std::min(rest.size(), out.size());
    std::memcpy(out.data(), rest.data(), length);
    out = out.subspan(length);
    offset += length;
  }
  return {};
}

BlockCache::Future Download::Get(uint64_t index) const {
  const auto get = [this](uint64_t i) {
    return service_.blocks().Get(this, i, [this, i] { return Fetch(i); });
  };
  const BlockCache::Got got = get(index);
  bool in_order = false;
  {
    const std::lock_guard lock(mutex_);
    in_order = index == next_ || (got.was_there && index > next_);
    if (in_order || !got.was_there) next_ = index + 1;
  }
  // The first block alone does not tell that more will be wanted.
  if (in_order && index > 0) {
    const uint64_t end = std::min<uint64_t>(index + 1 + kAhead, block_crcs_.size());
    for (uint64_t ahead = index + 1; ahead < end; ++ahead) get(ahead);
  }
  return got.block;
}

Download::Block Download::Fetch(uint64_t index) const {
  std::vector<std::byte> data(BlockSize(index));
  const uint64_t start = index * service_.read_bytes();
  size_t have = 0;
  std::optional<Backoff> backoff(service_.Deadline());
  while (have < data.size()) {
    http::Request request{.url = source_.url,
                          .headers = source_.headers,
                          .sink = std::span(data).subspan(have),
                          .bulk = true};
    request.headers.push_back(
        fmt::format("Range: bytes={}-{}", start + have, start + data.size() - 1));
    const http::Outcome outcome = service_.SendAuthorized(std::move(request));
    const auto& response = outcome.response;
    if (response && response->status == 200 && data.size() < source_.size_bytes)
      return Fail(Code::kInternal, what_ + ": the server ignores ranges");
    have += outcome.received_bytes;
    if (outcome.received_bytes > 0) backoff.emplace(service_.Deadline());
    if (have == data.size()) break;
    if (!service_.IsTransient(response)) {
      if (!response) return std::unexpected(Error(response.error()).Wrap(what_));
      if (response->status == 404 || response->status == 412)
        return Fail(Code::kNotFound, what_ + ": the object was removed or replaced meanwhile");
      if (response->status != 206) return std::unexpected(service_.ToError(*response, what_));
      // A short but complete answer: ask for the rest.
    }
    const auto pause = backoff->Next(response);
    if (!pause) return std::unexpected(service_.GivenUp(response, what_));
    std::this_thread::sleep_for(*pause);
  }
  if (auto checked = CheckBlock(index, data); !checked)
    return std::unexpected(std::move(checked).error());
  return data;
}

Status Download::CheckBlock(uint64_t index, std::span<const std::byte> data) const {
  const uint32_t crc = Crc32c(data);
  const std::lock_guard lock(mutex_);
  if (block_crcs_[index]) return {};
  block_crcs_[index] = crc;
  if (--unchecked_ > 0) return {};
  const std::string found = source_.checksum ? source_.checksum(BlockCrcs()) : "";
  if (found == source_.expected) return {};
  block_crcs_[index].reset();  // whoever fetches the last block again is told again
  ++unchecked_;
  return Fail(Code::kCorrupt, fmt::format("{}: CRC32C of what was read is {}, the object's is {}",
                                          what_, found, source_.expected));
}

std::vector<Piece> Download::BlockCrcs() const {
  std::vector<Piece> pieces;
  for (uint64_t i = 0; i < block_crcs_.size(); ++i)
    pieces.push_back({.crc = *block_crcs_[i], .size_bytes = BlockSize(i)});
  return pieces;
}

}  // namespace holdfast::storage::remote
