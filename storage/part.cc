#include "storage/part.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "storage/hdf5_file.h"
#include "storage/layout.h"
#include "storage/pack_table.h"
#include "storage/shard_tables.h"

namespace holdfast::storage {
namespace {

constexpr int64_t kPlainVersion = 1;
constexpr int64_t kEncryptedVersion = 2;  // blobs are sealed, /pack_keys has the keys
constexpr int64_t kShardedVersion = 3;    // /shards and /spans; /pack_keys if blobs are sealed
constexpr const char* kPackKeys = "/pack_keys";
constexpr const char* kShards = "/shards";
constexpr const char* kSpans = "/spans";
constexpr const char* kPartFormat = "holdfast part";

}  // namespace

// The names of columns are the format: do not change.
template <>
struct TableOf<ShardRow> {
  static constexpr std::tuple kColumns{
      Column{"pack", &ShardRow::pack}, Column{"offset", &ShardRow::offset},
      Column{"stored", &ShardRow::stored_bytes}, Column{"digest", &ShardRow::digest}};
};
template <>
struct TableOf<SpanRow> {
  static constexpr std::tuple kColumns{Column{"shard", &SpanRow::shard},
                                       Column{"stream", &SpanRow::stream},
                                       Column{"pid", &SpanRow::pid},
                                       Column{"offset", &SpanRow::offset},
                                       Column{"end", &SpanRow::end},
                                       Column{"address", &SpanRow::address},
                                       Column{"address_end", &SpanRow::address_end}};
};
template <>
struct TableOf<PodReader::Stream> {
  static constexpr std::tuple kColumns{Column{"name", &PodReader::Stream::name},
                                       Column{"size", &PodReader::Stream::size_bytes}};
};
template <>
struct TableOf<ProcessRow> {
  static constexpr std::tuple kColumns{Column{"pid", &ProcessRow::pid},
                                       Column{"raw", &ProcessRow::raw_bytes}};
};
template <>
struct TableOf<FileRecord> {
  static constexpr std::tuple kColumns{
      Column{"path", &FileRecord::path},         Column{"size", &FileRecord::size_bytes},
      Column{"mtime_ns", &FileRecord::mtime_ns}, Column{"inode", &FileRecord::inode},
      Column{"append", &FileRecord::append},     Column{"job_output", &FileRecord::job_output}};
};

namespace {

struct GroupRow {
  uint32_t gid = 0;
};

}  // namespace

template <>
struct TableOf<GroupRow> {
  static constexpr std::tuple kColumns{Column{"gid", &GroupRow::gid}};
};

namespace {

template <typename... Parts>
Status Broken(fmt::format_string<Parts...> format, Parts&&... parts) {
  return Fail(Code::kCorrupt,
              "part breaks its format: " + fmt::format(format, std::forward<Parts>(parts)...));
}

// The rules of docs/formats/part.md, but for those of the shards in packs.
Status CheckPart(const Part& part) {
  for (size_t i = 0; i < part.packs.size(); ++i) {
    const auto name = ParseKey(part.packs[i].name);
    if (!name || name->kind != ObjectName::Kind::kPack || name->unfinished)
      return Broken("pack {} has another name", i);
    if (part.packs[i].key.has_value() != part.encrypted())
      return Broken("pack {} has no key, or is the only one to have one", i);
  }
  const size_t overhead = part.encrypted() ? kSealBytes : 0;
  for (size_t i = 0; i < part.shards.size(); ++i) {
    const ShardRow& shard = part.shards[i];
    if (shard.pack >= part.packs.size()) return Broken("shard {} lies in no pack", i);
    const uint64_t pack_bytes = part.packs[shard.pack].size_bytes;
    if (shard.stored_bytes <= overhead || shard.stored_bytes > kMaxShardBytes + overhead ||
        shard.offset > pack_bytes || shard.stored_bytes > pack_bytes - shard.offset)
      return Broken("shard {} has a wrong size or passes the end of its pack", i);
  }
  for (size_t i = 0; i < part.spans.size(); ++i) {
    const SpanRow& span = part.spans[i];
    if (span.shard >= part.shards.size() || span.stream >= part.streams.size() ||
        span.offset >= span.end || span.end > part.streams[span.stream].size_bytes)
      return Broken("span {} is of no shard or stream, or passes its end", i);
  }
  HOLDFAST_CHECK(CheckBlobs(part.rest, part.packs));
  return CheckExtents(part.rest, part.streams);
}

int64_t VersionOf(const Part& part) {
  if (!part.shards.empty()) return kShardedVersion;
  return part.encrypted() ? kEncryptedVersion : kPlainVersion;
}

Status WriteInfo(Hdf5File& file, const Part& part) {
  const PodInfo& info = part.info;
  HOLDFAST_CHECK(file.AddText("/", "format", kPartFormat));
  HOLDFAST_CHECK(file.AddText("/", "holdfast", HOLDFAST_VERSION));
  HOLDFAST_CHECK(file.AddText("/", "node", info.node));
  HOLDFAST_CHECK(file.AddText("/", "hostname", info.hostname));
  for (const auto& [name, value] :
       std::initializer_list<std::pair<const char*, int64_t>>{{"version", VersionOf(part)},
                                                              {"job_id", part.job.id},
                                                              {"checkpoint", part.checkpoint},
                                                              {"pod", info.pod},
                                                              {"uid", info.owner.uid},
                                                              {"gid", info.owner.gid},
                                                              {"process_count", info.processes},
                                                              {"root_pid", info.root_pid},
                                                              {"block_bytes", kBlockBytes}})
    HOLDFAST_CHECK(file.AddNumber("/", name, value));
  HOLDFAST_CHECK(file.AddGroup("/about"));
  for (const auto& [name, value] : info.attributes)
    HOLDFAST_CHECK(file.AddText("/about", name, value));
  std::vector<GroupRow> groups;
  for (const gid_t gid : info.owner.groups) groups.push_back({gid});
  return file.AddTable("/groups", groups);
}

// The part's version.
Result<int64_t> ReadInfo(Hdf5File& file, Part& part) {
  HOLDFAST_TRY(const std::string format, file.Text("/", "format"));
  HOLDFAST_TRY(const int64_t version, file.Number("/", "version"));
  HOLDFAST_TRY(const int64_t block_bytes, file.Number("/", "block_bytes"));
  if (format != kPartFormat || version < kPlainVersion || version > kShardedVersion ||
      block_bytes != kBlockBytes)
    return Fail(Code::kUnsupported,
                fmt::format("part is of format '{}' version {} with blocks of {} bytes; this is "
                            "Holdfast {}, which reads versions {} to {}",
                            format, version, block_bytes, HOLDFAST_VERSION, kPlainVersion,
                            kShardedVersion));
  PodInfo& info = part.info;
  HOLDFAST_TRY(info.node, file.Text("/", "node"));
  HOLDFAST_TRY(info.hostname, file.Text("/", "hostname"));
  for (const auto& [name, value] :
       std::initializer_list<std::pair<const char*, uint32_t*>>{{"job_id", &part.job.id},
                                                                {"checkpoint", &part.checkpoint},
                                                                {"pod", &info.pod},
                                                                {"uid", &info.owner.uid},
                                                                {"gid", &info.owner.gid},
                                                                {"process_count", &info.processes},
                                                                {"root_pid", &info.root_pid}}) {
    HOLDFAST_TRY(const int64_t number, file.Number("/", name));
    *value = static_cast<uint32_t>(number);
  }
  HOLDFAST_TRY(info.attributes, file.Texts("/about"));
  HOLDFAST_TRY(const auto groups, file.Table<GroupRow>("/groups"));
  for (const GroupRow& group : groups) info.owner.groups.push_back(group.gid);
  return version;
}

Status WritePackKeys(Hdf5File& file, const Part& part) {
  std::vector<std::byte> keys;
  for (const PackRow& pack : part.packs)
    keys.insert(keys.end(), pack.key->begin(), pack.key->end());
  return file.AddBytes(kPackKeys, keys, sizeof(CipherKey));
}

Status ReadPackKeys(Hdf5File& file, Part& part) {
  HOLDFAST_TRY(const auto keys, file.Bytes(kPackKeys, sizeof(CipherKey)));
  if (keys.size() != part.packs.size() * sizeof(CipherKey))
    return Broken("not one key for each pack");
  for (size_t i = 0; i < part.packs.size(); ++i)
    std::memcpy(part.packs[i].key.emplace().data(), &keys[i * sizeof(CipherKey)],
                sizeof(CipherKey));
  return {};
}

}  // namespace

Result<std::vector<std::byte>> EncodePart(const Part& part) {
  HOLDFAST_CHECK(CheckPart(part));
  const Hdf5Session session;
  HOLDFAST_TRY(Hdf5File file, Hdf5File::Create(0));
  HOLDFAST_CHECK(WriteInfo(file, part));
  HOLDFAST_CHECK(file.AddTable("/streams", part.streams));
  if (!part.shards.empty()) {
    HOLDFAST_CHECK(file.AddTable(kShards, part.shards));
    HOLDFAST_CHECK(file.AddTable(kSpans, part.spans));
  }
  HOLDFAST_CHECK(file.AddTable("/extents", part.rest.extents));
  HOLDFAST_CHECK(file.AddTable("/blobs", part.rest.blobs));
  HOLDFAST_CHECK(file.AddTable("/packs", part.packs));
  if (part.encrypted()) HOLDFAST_CHECK(WritePackKeys(file, part));
  HOLDFAST_CHECK(file.AddTable("/processes", part.processes));
  HOLDFAST_CHECK(file.AddTable("/files", part.files));
  HOLDFAST_CHECK(
      file.AddBytes("/blocks", std::as_bytes(std::span(part.rest.blocks)), sizeof(BlockDigest)));
  HOLDFAST_CHECK(file.AddGroup("/images"));
  for (const auto& [name, contents] : part.images)
    HOLDFAST_CHECK(file.AddBytes("/images/" + name,
                                 std::as_bytes(std::span(contents.data(), contents.size()))));
  return file.Image();
}

Result<Part> DecodePart(std::span<const std::byte> file_image) {
  const Hdf5Session session;
  HOLDFAST_TRY(Hdf5File file, Hdf5File::Open(file_image));
  Part part;
  HOLDFAST_TRY(const int64_t version, ReadInfo(file, part));
  HOLDFAST_TRY(part.streams, file.Table<PodReader::Stream>("/streams"));
  HOLDFAST_TRY(part.packs, file.Table<PackRow>("/packs"));
  HOLDFAST_TRY(const auto names, file.Names("/"));
  if (version == kEncryptedVersion || std::ranges::contains(names, kPackKeys + 1))
    HOLDFAST_CHECK(ReadPackKeys(file, part));
  if (version == kShardedVersion) {
    HOLDFAST_TRY(part.shards, file.Table<ShardRow>(kShards));
    HOLDFAST_TRY(part.spans, file.Table<SpanRow>(kSpans));
  }
  HOLDFAST_TRY(part.rest.extents, file.Table<ExtentRow>("/extents"));
  HOLDFAST_TRY(part.rest.blobs, file.Table<BlobRow>("/blobs"));
  HOLDFAST_TRY(part.processes, file.Table<ProcessRow>("/processes"));
  HOLDFAST_TRY(part.files, file.Table<FileRecord>("/files"));
  HOLDFAST_TRY(const auto blocks, file.Bytes("/blocks", sizeof(BlockDigest)));
  part.rest.blocks.resize(blocks.size() / sizeof(BlockDigest));
  std::ranges::copy(blocks, std::as_writable_bytes(std::span(part.rest.blocks)).begin());
  HOLDFAST_TRY(const auto images, file.Names("/images"));
  for (const std::string& name : images) {
    HOLDFAST_TRY(const auto image_bytes, file.Bytes("/images/" + name));
    part.images[name].assign(reinterpret_cast<const char*>(image_bytes.data()), image_bytes.size());
  }
  HOLDFAST_CHECK(CheckPart(part));
  return part;
}

}  // namespace holdfast::storage
