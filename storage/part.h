// A pod's part of a checkpoint, in memory and as the HDF5 file parts/CKPT-POD.h5
// (docs/formats/part.md): what the pod is like, and where its shards are (storage/shard.h). All
// shards but the last lie in packs, written while the pod was being saved; the part itself has the
// last one. Written by pod_writer.cc, read by stored_part.cc and retention.cc.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "storage/checkpoint.h"
#include "storage/shard.h"

namespace holdfast::storage {

struct ProcessRow {
  uint32_t pid = 0;
  uint64_t raw_bytes = 0;  // of memory put for it
};

// A shard in a pack, where it lies as a blob does.
struct ShardRow {
  uint32_t pack = 0;  // index of the pack
  uint64_t offset = 0;
  uint32_t stored_bytes = 0;
  Digest digest{};  // of the shard, encoded
};

struct Part {
  JobName job;  // as it is read: the id alone, for the rest is the manifest's to tell
  uint32_t checkpoint = 0;
  PodInfo info;
  std::vector<PodReader::Stream> streams;
  std::vector<PackRow> packs;
  std::vector<ShardRow> shards;
  std::vector<SpanRow> spans;  // of `shards`
  Shard rest;                  // the last one; all there is in a part of version 1 or 2
  std::vector<ProcessRow> processes;
  std::vector<FileRecord> files;
  std::map<std::string, std::string> images;

  bool encrypted() const { return !packs.empty() && packs.front().key.has_value(); }
};

// Nobody's part is larger: 0.15% of 1 TiB of memory in versions 1 and 2.
inline constexpr uint64_t kMaxPartBytes = 2ULL << 30;

Result<std::vector<std::byte>> EncodePart(const Part& part);
// `file` must have been verified. kCorrupt if it breaks a rule of the format, so that whoever uses
// the part need not check indices, ranges or sizes again.
Result<Part> DecodePart(std::span<const std::byte> file);

}  // namespace holdfast::storage
