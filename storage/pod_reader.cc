#include "storage/pod_reader.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <span>
#include <vector>

#include "base/files.h"
#include "base/parallel.h"
#include "storage/blob_reader.h"
#include "storage/stored_part.h"

namespace holdfast::storage {
namespace {

class PodReaderImpl : public PodReader {
 public:
  PodReaderImpl(std::shared_ptr<Backend> backend, Part part)
      : backend_(std::move(backend)), stored_(*backend_, std::move(part), kShardsOfReader) {}
  Status OpenPacks() { return stored_.packs().OpenAll(); }

  const PodInfo& info() const override { return part_.info; }
  const std::vector<FileRecord>& files() const override { return part_.files; }
  const std::vector<Stream>& streams() const override { return part_.streams; }

  std::vector<std::string> images() const override {
    std::vector<std::string> names;
    for (const auto& [name, contents] : part_.images) names.push_back(name);
    return names;
  }

  Result<std::string> ReadImage(const std::string& name) override {
    const auto image = part_.images.find(name);
    if (image == part_.images.end())
      return Fail(Code::kNotFound, "image " + name + ": not in this checkpoint");
    return image->second;
  }

  Status Read(uint32_t stream, uint64_t offset, std::span<std::byte> out) override {
    if (stream >= part_.streams.size() || offset > part_.streams[stream].size_bytes ||
        out.size() > part_.streams[stream].size_bytes - offset)
      return Fail(Code::kInvalid, fmt::format("reading {} bytes at {} of stream {}: beyond its end",
                                              out.size(), offset, stream));
    while (!out.empty()) {
      HOLDFAST_TRY(const Found found, FirstExtent(stream, offset));
      uint64_t size = out.size();
      if (found.extent && found.extent->offset <= offset) {
        const ExtentRow& extent = *found.extent;
        const auto skipped = static_cast<uint32_t>(offset - extent.offset);
        size = std::min<uint64_t>(size, extent.length_bytes - skipped);
        HOLDFAST_CHECK(
            blobs_.Read(*found.shard, extent.blob, extent.blob_offset + skipped, out.first(size)));
      } else {
        if (found.extent) size = std::min(size, found.extent->offset - offset);
        std::ranges::fill(out.first(size), std::byte{0});
      }
      offset += size;
      out = out.subspan(size);
    }
    return {};
  }

  Status CopyTo(uint32_t stream, const UniqueFd& file, unsigned threads) override {
    if (stream >= part_.streams.size())
      return Fail(Code::kInvalid, fmt::format("copying stream {}: no such stream", stream));
    const std::string& name = part_.streams[stream].name;
    // To nothing first: holes must not show what the file held before.
    if (::ftruncate(file.get(), 0) != 0 ||
        ::ftruncate(file.get(), static_cast<off_t>(part_.streams[stream].size_bytes)) != 0)
      return FailErrno("sizing a file for " + name);
    const auto copy_all = [&]() -> Status {
      for (const SpanRow& span : SpansOfStream(stream)) {
        HOLDFAST_TRY(const auto shard, stored_.Shard(span.shard));
        const auto extents = shard->Within(stream, span.offset, span.end);
        HOLDFAST_CHECK(ForEachParallel(threads, extents.size(), [&](size_t i) {
          return CopyExtent(*shard, extents[i], file);
        }));
      }
      return {};
    };
    return copy_all().transform_error(
        [&](Error error) { return std::move(error).Wrap("copying " + name); });
  }

 private:
  struct Found {
    StoredPart::ShardPtr shard;
    const ExtentRow* extent = nullptr;  // in the shard, or nothing
  };

  std::span<const SpanRow> SpansOfStream(uint32_t stream) const {
    return std::ranges::equal_range(stored_.spans(), stream, {}, &SpanRow::stream);
  }

  // The first extent of the stream that ends after `offset`.
  Result<Found> FirstExtent(uint32_t stream, uint64_t offset) {
    Found first;
    for (const SpanRow& span : SpansOfStream(stream)) {
      if (span.end <= offset) continue;
      if (first.extent && first.extent->offset <= std::max(offset, span.offset)) break;
      HOLDFAST_TRY(auto shard, stored_.Shard(span.shard));
      const auto extents = shard->Within(stream, std::max(offset, span.offset), span.end);
      if (!extents.empty() && (!first.extent || extents[0].offset < first.extent->offset))
        first = {std::move(shard), &extents[0]};
    }
    return first;
  }

  Status CopyExtent(const LoadedShard& shard, const ExtentRow& extent, const UniqueFd& file) {
    thread_local std::vector<std::byte> buffer;
    buffer.resize(extent.length_bytes);
    HOLDFAST_CHECK(blobs_.Read(shard, extent.blob, extent.blob_offset, buffer));
    return WriteFullAt(file, buffer, extent.offset);
  }

  const std::shared_ptr<Backend> backend_;
  StoredPart stored_;
  const Part& part_ = stored_.part();
  BlobReader blobs_{stored_.packs()};
};

}  // namespace

Result<std::unique_ptr<PodReader>> MakePodReader(std::shared_ptr<Backend> backend, Part part) {
  auto reader = std::make_unique<PodReaderImpl>(std::move(backend), std::move(part));
  HOLDFAST_CHECK(reader->OpenPacks());
  return reader;
}

Result<uint64_t> VerifyBlobs(Backend& backend, Part part, unsigned threads) {
  StoredPart stored(backend, std::move(part), 1);
  BlobReader blobs(stored.packs());
  std::atomic<uint64_t> read_bytes = 0;
  for (uint32_t number = 0; number < stored.shards(); ++number) {
    HOLDFAST_TRY(const auto shard, stored.Shard(number));
    HOLDFAST_CHECK(ForEachParallel(threads, shard->blobs().size(), [&](size_t i) -> Status {
      thread_local std::vector<std::byte> buffer;
      buffer.resize(shard->blobs()[i].raw_bytes);
      read_bytes += shard->blobs()[i].stored_bytes;
      return blobs.Read(*shard, static_cast<uint32_t>(i), 0, buffer);
    }));
  }
  return read_bytes.load();
}

}  // namespace holdfast::storage
