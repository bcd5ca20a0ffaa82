#include "storage/pod_reader.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/files.h"
#include "base/parallel.h"
#include "storage/blob_reader.h"

namespace holdfast::storage {
namespace {

class PodReaderImpl : public PodReader {
 public:
  PodReaderImpl(std::shared_ptr<Backend> backend, Part part)
      : backend_(std::move(backend)), part_(std::move(part)) {}
  Status OpenBlobs() {
    HOLDFAST_TRY(blobs_, BlobReader::Open(*backend_, part_));
    return {};
  }

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
    auto extent = FirstExtent(stream, offset);
    while (!out.empty()) {
      const bool has_extent = extent != part_.extents.end() && extent->stream == stream;
      const bool in_extent = has_extent && extent->offset <= offset;
      uint64_t size = out.size();
      if (in_extent) {
        const auto skipped = static_cast<uint32_t>(offset - extent->offset);
        size = std::min<uint64_t>(size, extent->length_bytes - skipped);
        HOLDFAST_CHECK(blobs_->Read(extent->blob, extent->blob_offset + skipped, out.first(size)));
        ++extent;
      } else {
        if (has_extent) size = std::min(size, extent->offset - offset);
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
    const auto begin = FirstExtent(stream, 0);
    const auto end =
        std::ranges::upper_bound(begin, part_.extents.end(), stream, {}, &ExtentRow::stream);
    const auto copy = [&](size_t i) -> Status {
      const ExtentRow& extent = begin[static_cast<ptrdiff_t>(i)];
      thread_local std::vector<std::byte> buffer;
      buffer.resize(extent.length_bytes);
      HOLDFAST_CHECK(blobs_->Read(extent.blob, extent.blob_offset, buffer));
      return WriteFullAt(file, buffer, extent.offset);
    };
    return ForEachParallel(threads, static_cast<size_t>(end - begin), copy)
        .transform_error([&](Error error) { return std::move(error).Wrap("copying " + name); });
  }

 private:
  using ExtentIterator = std::vector<ExtentRow>::const_iterator;

  // The first extent of the stream that ends after `offset`, or where it would be.
  ExtentIterator FirstExtent(uint32_t stream, uint64_t offset) const {
    return std::ranges::partition_point(part_.extents, [&](const ExtentRow& extent) {
      return extent.stream < stream ||
             (extent.stream == stream && extent.offset + extent.length_bytes <= offset);
    });
  }

  const std::shared_ptr<Backend> backend_;
  const Part part_;
  std::unique_ptr<BlobReader> blobs_;
};

}  // namespace

Result<std::unique_ptr<PodReader>> MakePodReader(std::shared_ptr<Backend> backend, Part part) {
  auto reader = std::make_unique<PodReaderImpl>(std::move(backend), std::move(part));
  HOLDFAST_CHECK(reader->OpenBlobs());
  return reader;
}

Status VerifyBlobs(Backend& backend, const Part& part, unsigned threads) {
  HOLDFAST_TRY(const auto blobs, BlobReader::Open(backend, part));
  return ForEachParallel(threads, part.blobs.size(), [&](size_t i) -> Status {
    thread_local std::vector<std::byte> buffer;
    buffer.resize(part.blobs[i].raw_bytes);
    return blobs->Read(static_cast<uint32_t>(i), 0, buffer);
  });
}

}  // namespace holdfast::storage
