#include "storage/gcs/download.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>
#include <thread>

#include "storage/gcs/crc32c.h"
#include "storage/gcs/json_text.h"

namespace holdfast::storage::gcs {
namespace {

using nlohmann::json;

// Fetched ahead of a reader that goes through the object in order: with a few tens of milliseconds
// to the first byte, one transfer at a time leaves most of the link unused.
constexpr uint64_t kAhead = 3;

}  // namespace

Result<std::unique_ptr<ObjectReader>> Download::Open(Service& service, const std::string& name,
                                                     std::string what) {
  const std::string url = service.ObjectUrl(name);
  HOLDFAST_TRY(const http::Response response,
               service.Call({.url = url + "?fields=size,generation,crc32c"}, what));
  if (response.status == 404) return Fail(Code::kNotFound, what + ": no such object");
  if (response.status != 200) return std::unexpected(service.ToError(response, what));
  const json object = json::parse(response.body, nullptr, false);
  const std::string generation = TextOf(object, "generation"), crc = TextOf(object, "crc32c");
  const std::string size_text = TextOf(object, "size");
  uint64_t size = 0;
  const auto [end, error] =
      std::from_chars(size_text.data(), size_text.data() + size_text.size(), size);
  if (error != std::errc() || end != size_text.data() + size_text.size() || generation.empty() ||
      crc.empty())
    return Fail(Code::kInternal,
                what + ": the answer lacks the object's size, generation or checksum");
  return std::unique_ptr<ObjectReader>(
      new Download(service, url + "?alt=media&generation=" + http::Escape(generation),
                   std::move(what), size, crc));
}

Download::Download(Service& service, std::string url, std::string what, uint64_t size,
                   std::string crc)
    : service_(service),
      url_(std::move(url)),
      what_(std::move(what)),
      size_(size),
      crc_(std::move(crc)),
      block_crcs_((size + service.settings().read_bytes - 1) / service.settings().read_bytes),
      unchecked_(block_crcs_.size()) {}

uint64_t Download::BlockSize(uint64_t index) const {
  const uint64_t full = service_.settings().read_bytes;
  return std::min<uint64_t>(full, size_ - index * full);
}

Status Download::ReadAt(uint64_t offset, std::span<std::byte> out) const {
  if (out.size() > size_ || offset > size_ - out.size())
    return Fail(Code::kCorrupt,
                fmt::format("{} at {}: the object ends at {} bytes", what_, offset, size_));
  const uint64_t full = service_.settings().read_bytes;
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
  const uint64_t start = index * service_.settings().read_bytes;
  size_t have = 0;
  std::optional<Backoff> backoff(service_.Deadline());
  while (have < data.size()) {
    http::Request request{
        .url = url_,
        .headers = {fmt::format("Range: bytes={}-{}", start + have, start + data.size() - 1)},
        .sink = std::span(data).subspan(have),
        .bulk = true};
    const http::Outcome outcome = service_.SendAuthorized(std::move(request));
    const auto& response = outcome.response;
    if (response && response->status == 200 && data.size() < size_)
      return Fail(Code::kInternal, what_ + ": the server ignores ranges");
    have += outcome.received_bytes;
    if (outcome.received_bytes > 0) backoff.emplace(service_.Deadline());
    if (have == data.size()) break;
    if (!IsTransient(response)) {
      if (!response) return std::unexpected(Error(response.error()).Wrap(what_));
      if (response->status == 404)
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
  uint32_t whole = 0;
  for (uint64_t i = 0; i < block_crcs_.size(); ++i)
    whole = CombineCrc32c(whole, *block_crcs_[i], BlockSize(i));
  if (Crc32cToText(whole) == crc_) return {};
  block_crcs_[index].reset();  // whoever fetches the last block again is told again
  ++unchecked_;
  return Fail(Code::kCorrupt, fmt::format("{}: CRC32C of what was read is {}, the object's is {}",
                                          what_, Crc32cToText(whole), crc_));
}

}  // namespace holdfast::storage::gcs
