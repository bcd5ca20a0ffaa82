#include "storage/part.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "storage/digest.h"
#include "storage/hdf5_file.h"
#include "storage/layout.h"
#include "storage/pack_table.h"

namespace holdfast::storage {
namespace {

constexpr int64_t kPlainVersion = 1;
constexpr int64_t kEncryptedVersion = 2;  // blobs are sealed, /pack_keys has the keys
constexpr const char* kPackKeys = "/pack_keys";
constexpr const char* kFormat = "holdfast part";

}  // namespace

// The names of columns are the format: do not change.
template <>
struct TableOf<BlobRow> {
  static constexpr std::tuple kColumns{
      Column{"pack", &BlobRow::pack},           Column{"offset", &BlobRow::offset},
      Column{"stored", &BlobRow::stored_bytes}, Column{"raw", &BlobRow::raw_bytes},
      Column{"codec", &BlobRow::codec},         Column{"digest", &BlobRow::digest}};
};
template <>
struct TableOf<ExtentRow> {
  static constexpr std::tuple kColumns{
      Column{"stream", &ExtentRow::stream},          Column{"offset", &ExtentRow::offset},
      Column{"length", &ExtentRow::length_bytes},    Column{"pid", &ExtentRow::pid},
      Column{"address", &ExtentRow::address},        Column{"blob", &ExtentRow::blob},
      Column{"blob_offset", &ExtentRow::blob_offset}};
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

// The rules of docs/formats/part.md.
Status CheckPart(const Part& part) {
  for (size_t i = 0; i < part.packs.size(); ++i) {
    const auto name = ParseKey(part.packs[i].name);
    if (!name || name->kind != ObjectName::Kind::kPack || name->unfinished)
      return Broken("pack {} has another name", i);
    if (part.packs[i].key.has_value() != part.encrypted())
      return Broken("pack {} has no key, or is the only one to have one", i);
  }
  const size_t overhead = part.encrypted() ? kSealBytes : 0;
  uint64_t blocks = 0;
  for (size_t i = 0; i < part.blobs.size(); ++i) {
    const BlobRow& blob = part.blobs[i];
    if (blob.pack >= part.packs.size()) return Broken("blob {} lies in no pack", i);
    const uint64_t pack_bytes = part.packs[blob.pack].size_bytes;
    if (blob.raw_bytes == 0 || blob.raw_bytes > kExtentBytes || blob.stored_bytes <= overhead ||
        (blob.codec == Codec::kRaw && blob.stored_bytes != blob.raw_bytes + overhead) ||
        (blob.codec == Codec::kZstd && blob.stored_bytes >= blob.raw_bytes + overhead) ||
        (blob.codec != Codec::kRaw && blob.codec != Codec::kZstd))
      return Broken("blob {} has a wrong size or codec", i);
    if (blob.offset > pack_bytes || blob.stored_bytes > pack_bytes - blob.offset)
      return Broken("blob {} passes the end of its pack", i);
    blocks += blob.blocks();
  }
  if (blocks != part.blocks.size())
    return Broken("{} block digests for {} blocks", part.blocks.size(), blocks);
  const ExtentRow* previous = nullptr;
  for (size_t i = 0; i < part.extents.size(); ++i) {
    const ExtentRow& extent = part.extents[i];
    if (extent.stream >= part.streams.size()) return Broken("extent {} is of no stream", i);
    const uint64_t size = part.streams[extent.stream].size_bytes;
    if (extent.length_bytes == 0 || extent.offset > size ||
        extent.length_bytes > size - extent.offset)
      return Broken("extent {} passes the end of its stream", i);
    if (previous && (extent.stream < previous->stream ||
                     (extent.stream == previous->stream &&
                      extent.offset < previous->offset + previous->length_bytes)))
      return Broken("extent {} is out of order or overlaps", i);
    if (extent.blob >= part.blobs.size()) return Broken("extent {} has no blob", i);
    const uint32_t raw = part.blobs[extent.blob].raw_bytes;
    if (extent.blob_offset % kBlockBytes != 0 || extent.blob_offset > raw ||
        extent.length_bytes > raw - extent.blob_offset)
      return Broken("extent {} passes the end of its blob", i);
    previous = &extent;
  }
  return {};
}

Status WriteInfo(Hdf5File& file, const Part& part) {
  const PodInfo& info = part.info;
  HOLDFAST_CHECK(file.AddText("/", "format", kFormat));
  HOLDFAST_CHECK(file.AddText("/", "holdfast", HOLDFAST_VERSION));
  HOLDFAST_CHECK(file.AddText("/", "node", info.node));
  HOLDFAST_CHECK(file.AddText("/", "hostname", info.hostname));
  for (const auto& [name, value] : std::initializer_list<std::pair<const char*, int64_t>>{
           {"version", part.encrypted() ? kEncryptedVersion : kPlainVersion},
           {"job_id", part.job_id},
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
  if (format != kFormat || (version != kPlainVersion && version != kEncryptedVersion) ||
      block_bytes != kBlockBytes)
    return Fail(Code::kUnsupported,
                fmt::format("part is of format '{}' version {} with blocks of {} bytes; this is "
                            "Holdfast {}, which reads versions {} and {}",
                            format, version, block_bytes, HOLDFAST_VERSION, kPlainVersion,
                            kEncryptedVersion));
  PodInfo& info = part.info;
  HOLDFAST_TRY(info.node, file.Text("/", "node"));
  HOLDFAST_TRY(info.hostname, file.Text("/", "hostname"));
  for (const auto& [name, value] :
       std::initializer_list<std::pair<const char*, uint32_t*>>{{"job_id", &part.job_id},
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

BlockDigest BlockDigestOf(std::span<const std::byte> block) {
  const Digest whole = HashOf(block);
  BlockDigest digest;
  std::copy_n(whole.begin(), digest.size(), digest.begin());
  return digest;
}

std::vector<uint32_t> Part::FirstBlocks() const {
  std::vector<uint32_t> first(blobs.size());
  uint32_t next = 0;
  for (size_t i = 0; i < blobs.size(); ++i) {
    first[i] = next;
    next += blobs[i].blocks();
  }
  return first;
}

Result<std::vector<std::byte>> EncodePart(const Part& part) {
  HOLDFAST_CHECK(CheckPart(part));
  const Hdf5Session session;
  HOLDFAST_TRY(Hdf5File file, Hdf5File::Create(0));
  HOLDFAST_CHECK(WriteInfo(file, part));
  HOLDFAST_CHECK(file.AddTable("/streams", part.streams));
  HOLDFAST_CHECK(file.AddTable("/extents", part.extents));
  HOLDFAST_CHECK(file.AddTable("/blobs", part.blobs));
  HOLDFAST_CHECK(file.AddTable("/packs", part.packs));
  if (part.encrypted()) HOLDFAST_CHECK(WritePackKeys(file, part));
  HOLDFAST_CHECK(file.AddTable("/processes", part.processes));
  HOLDFAST_CHECK(file.AddTable("/files", part.files));
  HOLDFAST_CHECK(
      file.AddBytes("/blocks", std::as_bytes(std::span(part.blocks)), sizeof(BlockDigest)));
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
  HOLDFAST_TRY(part.extents, file.Table<ExtentRow>("/extents"));
  HOLDFAST_TRY(part.blobs, file.Table<BlobRow>("/blobs"));
  HOLDFAST_TRY(part.packs, file.Table<PackRow>("/packs"));
  if (version == kEncryptedVersion) HOLDFAST_CHECK(ReadPackKeys(file, part));
  HOLDFAST_TRY(part.processes, file.Table<ProcessRow>("/processes"));
  HOLDFAST_TRY(part.files, file.Table<FileRecord>("/files"));
  HOLDFAST_TRY(const auto blocks, file.Bytes("/blocks", sizeof(BlockDigest)));
  part.blocks.resize(blocks.size() / sizeof(BlockDigest));
  if (!blocks.empty()) std::memcpy(part.blocks.data(), blocks.data(), blocks.size());
  HOLDFAST_TRY(const auto names, file.Names("/images"));
  for (const std::string& name : names) {
    HOLDFAST_TRY(const auto image_bytes, file.Bytes("/images/" + name));
    part.images[name].assign(reinterpret_cast<const char*>(image_bytes.data()), image_bytes.size());
  }
  HOLDFAST_CHECK(CheckPart(part));
  return part;
}

}  // namespace holdfast::storage
