#include "storage/pod_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <tuple>

#include "storage/budget.h"
#include "storage/compared_part.h"
#include "storage/digest.h"
#include "storage/known_blobs.h"
#include "storage/layout.h"
#include "storage/part_builder.h"
#include "storage/pipeline.h"
#include "storage/sealed_part.h"

namespace holdfast::storage {
namespace {

std::vector<PackRow> PacksOf(const std::optional<PreviousPart>& previous) {
  return previous ? previous->part.packs : std::vector<PackRow>();
}

class PodWriterImpl : public PodWriter {
 public:
  PodWriterImpl(PodWriterTarget target, std::optional<PreviousPart> previous,
                const WriteOptions& options)
      : target_(std::move(target)),
        may_go_on_(options.may_go_on),
        budget_(options, target_.backend->capabilities().write_bytes),
        packs_(*target_.backend, target_.checkpoint, target_.pod, target_.encryption.has_value(),
               PacksOf(previous)),
        known_(std::make_unique<KnownBlobs>(budget_.known_bytes)),
        builder_(std::make_unique<PartBuilder>(packs_)),
        pipeline_(std::make_unique<Pipeline>(*known_, packs_, budget_, options.compression_level)),
        shard_writer_(packs_, kShardBytes) {
    part_.job = target_.job;
    part_.checkpoint = target_.checkpoint;
    part_.info.pod = target_.pod;
    if (previous) CompareWith(*std::move(previous));
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
    return builder_->AddStream(std::move(name));
  }

  Status Put(uint32_t stream, uint64_t offset, std::span<const std::byte> data, uint64_t address,
             uint32_t pid) override {
    return PutKeeping(stream, offset, data, address, pid, {});
  }

  uint32_t compared_checkpoint() const override { return compared_checkpoint_; }

  Status PutRest(uint32_t stream, uint64_t offset, std::span<std::byte> data, const Kept& kept,
                 uint64_t address, uint32_t pid) override {
    if (data.size() > kExtentBytes)
      return Fail(Code::kInvalid, fmt::format("putting {} bytes at once", data.size()));
    ComparedPart::Unchanged found;
    if (previous_) found = previous_->FindKept({pid, address}, data.size(), kept.blocks);
    // One more for what has changed.
    if (found.blobs.size() >= kMaxBlobsPerExtent) found = {};
    HOLDFAST_CHECK(ReadRest(data.size(), found, kept));
    if (kept.verify) HOLDFAST_CHECK(Verify(data, found, address, pid));
    return PutKeeping(stream, offset, data, address, pid, found);
  }

  Status SetSize(uint32_t stream, uint64_t size_bytes) override {
    if (!builder_->StreamName(stream))
      return Fail(Code::kInvalid, fmt::format("size of stream {}: no such stream", stream));
    builder_->SetSize(stream, size_bytes);
    return {};
  }

  std::optional<std::string> PreviousImage(const std::string& name) const override {
    return previous_image_ ? previous_image_(name) : std::nullopt;
  }

  Result<bool> KeepStream(const std::string& name) override {
    if (!previous_) return false;
    const auto size_bytes = previous_->FindStream(name);
    if (!size_bytes) return false;
    const uint32_t stream = builder_->AddStream(name);
    builder_->SetSize(stream, *size_bytes);
    HOLDFAST_CHECK(previous_->ForEachExtent(name, [&](ExtentRow extent, const Blob& blob) {
      raw_bytes_ += extent.length_bytes;
      extent.stream = stream;
      extent.blob = 0;
      return Refer({&extent, 1}, {&blob, 1});
    }));
    return true;
  }

  Status Flush() override {
    HOLDFAST_CHECK(pipeline_->Flush());
    return FlushShards();
  }

  Status BeginAgain() override {
    // Only the shards have to be where they can be read.
    HOLDFAST_CHECK(FlushShards());
    precopied_.stored_bytes = builder_->referred_bytes();
    Part ahead{.job = target_.job, .checkpoint = target_.checkpoint};
    const auto numbers = builder_->Build(ahead);
    for (PackRow& pack : ahead.packs)
      if (pack.size_bytes == 0) pack.size_bytes = kPackBytes;  // is still being written
    ahead_part_ = std::make_unique<ComparedPart>(
        *target_.backend, std::move(ahead),
        std::vector<std::optional<uint32_t>>(numbers.begin(), numbers.end()), budget_.shards);
    pipeline_->Compare(*ahead_part_);
    builder_ = std::make_unique<PartBuilder>(packs_);
    raw_bytes_ = 0;
    return {};
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
    // Packs first: a part that is there names only what is there.
    HOLDFAST_CHECK(Flush());
    if (precopied_.stored_bytes > 0) {
      const uint64_t data_bytes = packs_.stored_bytes() - shard_bytes_;
      precopied_.wasted_bytes = data_bytes - std::min(data_bytes, builder_->referred_bytes());
    }
    builder_->Build(part_);
    HOLDFAST_TRY(auto file, EncodePart(part_));
    if (target_.encryption) {
      HOLDFAST_TRY(file, SealPart(part_, file, *target_.encryption));
    }
    const Status put = target_.backend->PutIfAbsent(PartName(), file);
    part_doubtful_ = !put && put.error().code() != Code::kConflict;
    HOLDFAST_CHECK(put);
    finished_ = true;
    ReleaseMemory();
    return PartSummary{.pod = target_.pod,
                       .name = PartName(),
                       .digest = HashOf(file),
                       .raw_bytes = raw_bytes_,
                       .stored_bytes = packs_.stored_bytes() + file.size(),
                       .processes = part_.info.processes};
  }

  Precopied precopied() const override { return precopied_; }

 private:
  // The blocks in `kept` are not looked at.
  Status PutKeeping(uint32_t stream, uint64_t offset, std::span<const std::byte> data,
                    uint64_t address, uint32_t pid, const ComparedPart::Unchanged& kept) {
    const auto name = builder_->StreamName(stream);
    if (!name || data.size() > kExtentBytes || offset + data.size() < offset)
      return Fail(Code::kInvalid, fmt::format("putting {} bytes at {} of stream {}: no such stream "
                                              "or more than {} bytes",
                                              data.size(), offset, stream, kExtentBytes));
    if (data.empty()) return {};
    const auto put = [&]() -> Status {
      if (may_go_on_) HOLDFAST_CHECK(may_go_on_());
      HOLDFAST_TRY(const auto stored,
                   pipeline_->Store(PlaceOf(*name, offset, pid, address), data, kept));
      std::vector<ExtentRow> extents;
      for (const Pipeline::Range& range : stored.ranges)
        extents.push_back({.stream = stream,
                           .pid = pid,
                           .offset = offset + range.offset,
                           .address = address == 0 ? 0 : address + range.offset,
                           .length_bytes = range.length_bytes,
                           .blob = range.blob,
                           .blob_offset = range.blob_offset});
      return Refer(extents, stored.blobs);
    };
    HOLDFAST_CHECK(put().transform_error([&](Error error) {
      return std::move(error).Wrap(fmt::format("storing {} at {}", *name, offset));
    }));
    builder_->SetSize(stream, offset + data.size());
    if (pid != 0) builder_->CountMemory(pid, data.size());
    raw_bytes_ += data.size();
    return {};
  }

  // Of a piece, what is not in `found`; all of it if that is to be verified.
  static Status ReadRest(size_t size_bytes, const ComparedPart::Unchanged& found,
                         const Kept& kept) {
    const auto is_kept = [&](size_t at) {
      return !kept.verify && !found.blocks.empty() && found.blocks[at / kBlockBytes];
    };
    for (size_t begin = 0; begin < size_bytes;) {
      size_t end = begin;
      while (end < size_bytes && !is_kept(end)) end = std::min(end + kBlockBytes, size_bytes);
      if (end > begin) HOLDFAST_CHECK(kept.read(begin, end));
      begin = end;
      while (begin < size_bytes && is_kept(begin)) begin += kBlockBytes;
    }
    return {};
  }

  static Status Verify(std::span<const std::byte> data, const ComparedPart::Unchanged& found,
                       uint64_t address, uint32_t pid) {
    for (size_t i = 0; i < found.blocks.size(); ++i) {
      const size_t at = i * kBlockBytes;
      const auto block = data.subspan(at, std::min(kBlockBytes, data.size() - at));
      if (found.blocks[i] &&
          BlockDigestOf(block) != ComparedPart::DigestAt(found, *found.blocks[i]))
        return Fail(
            Code::kInternal,
            fmt::format("write tracking: memory of process {} at {:#x} was written without a trace",
                        pid, address + at));
    }
    return {};
  }

  // What is no longer needed: the writer may live on while somebody else needs a budget.
  void ReleaseMemory() {
    pipeline_.reset();
    builder_.reset();
    ahead_part_.reset();
    previous_.reset();
    known_.reset();
    part_ = {.info = std::move(part_.info), .packs = std::move(part_.packs)};
  }

  void CompareWith(PreviousPart previous) {
    compared_checkpoint_ = previous.part.checkpoint;
    previous_image_ = std::move(previous.image);
    std::vector<std::optional<uint32_t>> packs(previous.usable.size());
    for (uint32_t i = 0; i < packs.size(); ++i)
      if (previous.usable[i]) packs[i] = i;
    previous_ = std::make_unique<ComparedPart>(*target_.backend, std::move(previous.part),
                                               std::move(packs), budget_.shards);
    previous_->ForEachBlob([&](const Blob& blob) { known_->Add(KeyOf(blob.blocks), blob.row); });
    pipeline_->Compare(*previous_);
  }

  Status Refer(std::span<const ExtentRow> extents, std::span<const Blob> blobs) {
    const auto full = builder_->Add(extents, blobs);
    if (!full) return {};
    Status stored = StoreShard(*full);
    if (!stored) return pipeline_->Fail(std::move(stored).error());
    return {};
  }

  // So that it need not stay in memory.
  Status StoreShard(const Shard& shard) {
    const std::vector<std::byte> file = EncodeShard(shard);
    const std::lock_guard lock(shard_mutex_);
    HOLDFAST_TRY(const PackWriter::Location location, shard_writer_.Append(file));
    shard_bytes_ += location.size_bytes;
    return builder_->AddShard(shard, location, HashOf(file));
  }

  Status FlushShards() {
    Status finished = shard_writer_.Finish();
    if (!finished) return pipeline_->Fail(std::move(finished).error());
    return {};
  }

  std::string PartName() const { return PartKey(target_.checkpoint, target_.pod); }

  const PodWriterTarget target_;
  const std::function<Status()> may_go_on_;
  const Budget budget_;
  Packs packs_;
  std::unique_ptr<KnownBlobs> known_;
  std::function<std::optional<std::string>(const std::string&)> previous_image_;
  std::unique_ptr<ComparedPart> previous_;
  uint32_t compared_checkpoint_ = 0;
  std::unique_ptr<ComparedPart> ahead_part_;
  std::unique_ptr<PartBuilder> builder_;
  std::unique_ptr<Pipeline> pipeline_;
  std::mutex shard_mutex_;
  PackWriter shard_writer_;  // to a pack of its own, which goes with the part
  uint64_t shard_bytes_ = 0;
  Part part_;
  std::atomic<uint64_t> raw_bytes_ = 0;
  Precopied precopied_;
  bool finished_ = false;
  bool part_doubtful_ = false;  // after an error, it may have become visible
};

}  // namespace

std::unique_ptr<PodWriter> MakePodWriter(PodWriterTarget target,
                                         std::optional<PreviousPart> previous,
                                         const WriteOptions& options) {
  return std::make_unique<PodWriterImpl>(std::move(target), std::move(previous), options);
}

}  // namespace holdfast::storage
