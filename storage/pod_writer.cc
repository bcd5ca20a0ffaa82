#include "storage/pod_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <tuple>

#include "storage/digest.h"
#include "storage/layout.h"
#include "storage/pipeline.h"
#include "storage/sealed_part.h"

namespace holdfast::storage {
namespace {

class PodWriterImpl : public PodWriter {
 public:
  PodWriterImpl(PodWriterTarget target, ExtentIndex index, const WriteOptions& options)
      : target_(std::move(target)),
        pass_(std::make_unique<Pass>(std::move(index))),
        packs_(*target_.backend, target_.checkpoint, target_.pod, target_.encryption.has_value()),
        pipeline_(std::make_unique<Pipeline>(pass_->index, pass_->builder, packs_, options)) {
    part_.job_id = target_.job_id;
    part_.checkpoint = target_.checkpoint;
    part_.info.pod = target_.pod;
  }

  ~PodWriterImpl() override {
    if (finished_) {
      packs_.Remove(part_.packs);
      return;
    }
    pipeline_.reset();  // and with it the writers of unfinished packs
    packs_.Remove();
    if (part_doubtful_) std::ignore = target_.backend->Delete(PartName());
  }

  Result<uint32_t> AddStream(std::string name) override {
    return pass_->builder.AddStream(std::move(name));
  }

  Status Put(uint32_t stream, uint64_t offset, std::span<const std::byte> data, uint64_t address,
             uint32_t pid) override {
    const auto name = pass_->builder.StreamName(stream);
    if (!name || data.size() > kExtentBytes || offset + data.size() < offset)
      return Fail(Code::kInvalid, fmt::format("putting {} bytes at {} of stream {}: no such stream "
                                              "or more than {} bytes",
                                              data.size(), offset, stream, kExtentBytes));
    if (data.empty()) return {};
    PartBuilder& builder = pass_->builder;
    auto stored = pipeline_->Store(PlaceOf(*name, offset, pid, address), data);
    if (!stored)
      return std::unexpected(
          std::move(stored).error().Wrap(fmt::format("storing {} at {}", *name, offset)));
    std::vector<ExtentRow> extents;
    for (const Pipeline::Range& range : *stored)
      extents.push_back({.stream = stream,
                         .pid = pid,
                         .offset = offset + range.offset,
                         .address = address == 0 ? 0 : address + range.offset,
                         .length_bytes = range.length_bytes,
                         .blob = range.blob,
                         .blob_offset = range.blob_offset});
    builder.AddExtents(extents);
    builder.SetSize(stream, offset + data.size());
    if (pid != 0) builder.CountMemory(pid, data.size());
    raw_bytes_ += data.size();
    return {};
  }

  Status SetSize(uint32_t stream, uint64_t size_bytes) override {
    if (!pass_->builder.StreamName(stream))
      return Fail(Code::kInvalid, fmt::format("size of stream {}: no such stream", stream));
    pass_->builder.SetSize(stream, size_bytes);
    return {};
  }

  std::optional<std::string> PreviousImage(const std::string& name) const override {
    const auto& images = pass_->index.part().images;
    const auto found = images.find(name);
    if (found == images.end()) return std::nullopt;
    return found->second;
  }

  bool KeepStream(const std::string& name) override {
    auto kept = pass_->index.FindStream(name);
    if (!kept) return false;
    const uint32_t stream = pass_->builder.AddStream(name);
    pass_->builder.SetSize(stream, kept->size_bytes);
    for (ExtentRow& extent : kept->extents) {
      extent.stream = stream;
      extent.blob = pass_->builder.ReuseBlob(extent.blob);
      raw_bytes_ += extent.length_bytes;
    }
    pass_->builder.AddExtents(kept->extents);
    return true;
  }

  Status Flush() override { return pipeline_->Flush(); }

  void BeginAgain() override {
    Part precopied;
    pass_->builder.Build(packs_.rows(), precopied);
    precopied_.stored_bytes = WrittenBytes(precopied);
    auto next = std::make_unique<Pass>(pass_->index.Below(std::move(precopied)));
    pipeline_->Compare(next->index, next->builder);
    pass_ = std::move(next);
    raw_bytes_ = 0;
  }

  Status AddImage(std::string name, std::string_view contents) override {
    if (name.empty() || name == "." || name.find('/') != name.npos)
      return Fail(Code::kInvalid, "image '" + name + "': not a file name");
    raw_bytes_ += contents.size();
    if (!part_.images.try_emplace(std::move(name), contents).second)
      return Fail(Code::kConflict, "an image of that name was added before");
    return {};
  }

  void AddFile(FileRecord file) override { part_.files.push_back(std::move(file)); }

  void SetInfo(PodInfo info) override {
    part_.info = std::move(info);
    part_.info.pod = target_.pod;
  }

  Result<PartSummary> Finish() override {
    HOLDFAST_CHECK(pipeline_->Flush());
    // Packs first: a part that is there names only what is there.
    pass_->builder.Build(packs_.rows(), part_);
    if (precopied_.stored_bytes > 0)
      precopied_.wasted_bytes = packs_.stored_bytes() - WrittenBytes(part_);
    HOLDFAST_TRY(auto file, EncodePart(part_));
    if (target_.encryption) {
      HOLDFAST_TRY(file, SealPart(part_, file, *target_.encryption));
    }
    const Status put = target_.backend->PutIfAbsent(PartName(), file);
    part_doubtful_ = !put && put.error().code() != Code::kConflict;
    HOLDFAST_CHECK(put);
    finished_ = true;
    return PartSummary{.pod = target_.pod,
                       .name = PartName(),
                       .digest = HashOf(file),
                       .raw_bytes = raw_bytes_,
                       .stored_bytes = packs_.stored_bytes() + file.size(),
                       .processes = part_.info.processes};
  }

  Precopied precopied() const override { return precopied_; }

 private:
  // What is put is compared with the index, and goes into the builder.
  struct Pass {
    explicit Pass(ExtentIndex from) : index(std::move(from)) {}
    const ExtentIndex index;
    PartBuilder builder{index};
  };

  // Of the part's blobs, those in packs of this writer.
  uint64_t WrittenBytes(const Part& part) const {
    const auto written = packs_.rows();
    std::vector<bool> ours;
    for (const PackRow& pack : part.packs)
      ours.push_back(std::ranges::contains(written, pack.name, &PackRow::name));
    uint64_t size = 0;
    for (const BlobRow& blob : part.blobs)
      if (ours[blob.pack]) size += blob.stored_bytes;
    return size;
  }

  std::string PartName() const { return PartKey(target_.checkpoint, target_.pod); }

  const PodWriterTarget target_;
  std::unique_ptr<Pass> pass_;
  Packs packs_;
  std::unique_ptr<Pipeline> pipeline_;
  Part part_;
  std::atomic<uint64_t> raw_bytes_ = 0;
  Precopied precopied_;
  bool finished_ = false;
  bool part_doubtful_ = false;  // after an error, it may have become visible
};

}  // namespace

std::unique_ptr<PodWriter> MakePodWriter(PodWriterTarget target, ExtentIndex index,
                                         const WriteOptions& options) {
  return std::make_unique<PodWriterImpl>(std::move(target), std::move(index), options);
}

}  // namespace holdfast::storage
