// The numbers in a part, a sealed part and a manifest, in all of their tables; the files around
// them are whole. libhdf5 itself is no match for a hostile file: it sees none, because digests and
// MACs come first.
#include <hdf5.h>

#include <algorithm>
#include <cstring>

#include "storage/hdf5_file.h"
#include "storage/layout.h"
#include "storage/manifest.h"
#include "storage/part.h"
#include "storage/sealed_part.h"
#include "tests/fuzz/fuzz.h"

namespace holdfast::fuzz {

using namespace storage;

namespace {

constexpr size_t kUserBlockBytes = 512;
// docs/formats/manifest.md: where the digest is. Zeros are not compared.
constexpr size_t kDigestAt = 48, kDigestBytes = 32;

// Gives a table's numbers the values in `bytes`, column by column, as far as they go.
void Overwrite(const Hdf5Id& file, const char* path, std::string_view& bytes) {
  const Hdf5Id dataset(H5Dopen2(file.get(), path, H5P_DEFAULT));
  if (!dataset.valid()) return;
  const Hdf5Id type(H5Dget_type(dataset.get())), space(H5Dget_space(dataset.get()));
  if (H5Tget_class(type.get()) != H5T_COMPOUND) return;
  const auto rows = static_cast<size_t>(H5Sget_simple_extent_npoints(space.get()));
  for (unsigned i = 0; i < static_cast<unsigned>(H5Tget_nmembers(type.get())); ++i) {
    const Hdf5Id member(H5Tget_member_type(type.get(), i));
    if (H5Tget_class(member.get()) != H5T_INTEGER) continue;
    const size_t width = H5Tget_size(member.get());
    const std::string_view taken = bytes.substr(0, rows * width);
    if (taken.size() < rows * width) return;
    bytes.remove_prefix(taken.size());
    const Hdf5Id column(H5Tcreate(H5T_COMPOUND, width));
    char* const name = H5Tget_member_name(type.get(), i);
    H5Tinsert(column.get(), name, 0, member.get());
    H5free_memory(name);
    H5Dwrite(dataset.get(), column.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, taken.data());
  }
}

std::string WithNumbers(const std::string& image, std::string_view bytes) {
  const Hdf5Session session;
  const Hdf5Id access(H5Pcreate(H5P_FILE_ACCESS));
  H5Pset_fapl_core(access.get(), 1 << 16, false);
  H5Pset_file_image(access.get(), const_cast<char*>(image.data()), image.size());
  const Hdf5Id file(H5Fopen("/dev/null/image", H5F_ACC_RDWR, access.get()));
  Must(file.valid(), "the sample is an HDF5 file");
  for (const char* path : {"/streams", "/packs", "/shards", "/spans", "/extents", "/blobs",
                           "/processes", "/files", "/groups", "/pods"})
    Overwrite(file, path, bytes);
  H5Fflush(file.get(), H5F_SCOPE_GLOBAL);
  std::string changed(static_cast<size_t>(H5Fget_file_image(file.get(), nullptr, 0)), '\0');
  H5Fget_file_image(file.get(), changed.data(), changed.size());
  return changed;
}

Part SamplePart() {
  Part part;
  part.job = {"lab", 7, "20261128T004824Z"};
  part.checkpoint = 1;
  part.info = {
      .pod = 0, .node = "n1", .hostname = "n1", .owner = {.uid = 8, .gid = 8, .groups = {8}}};
  part.streams = {{"pages-1.img", 1 << 20}, {"scratch", 0}};
  part.packs = {{PackKey(1, 0, 0), 1000}, {PackKey(1, 0, 1), kExtentBytes}};
  part.shards = {{.pack = 0, .offset = 0, .stored_bytes = 100, .digest = {}}};
  part.spans = {{.shard = 0,
                 .stream = 0,
                 .pid = 2,
                 .offset = 0,
                 .end = 4096,
                 .address = 4096,
                 .address_end = 8192}};
  part.rest.blobs = {
      {.pack = 1, .codec = Codec::kRaw, .offset = 0, .stored_bytes = 40'000, .raw_bytes = 40'000}};
  part.rest.blocks.resize(3);
  part.rest.extents = {{.stream = 0,
                        .pid = 2,
                        .offset = 4096,
                        .address = 8192,
                        .length_bytes = 4096,
                        .blob = 0,
                        .blob_offset = 16'384}};
  part.processes = {{2, 4096}};
  part.files = {{.path = "/home/a", .size_bytes = 5}};
  part.images = {{"core-2.img", "x"}};
  return part;
}

Manifest SampleManifest() {
  Manifest manifest{.job = {"lab", 7, "20261128T004824Z"},
                    .checkpoint = 1,
                    .unix_ms = 1,
                    .uid = 8,
                    .gid = 8,
                    .hostnames = {"n1"},
                    .parts = {},
                    .attributes = {{"cpu", "x"}}};
  manifest.parts.push_back({.pod = 0,
                            .name = PartKey(1, 0),
                            .digest = {},
                            .raw_bytes = 1,
                            .stored_bytes = 1,
                            .processes = 1});
  return manifest;
}

const SiteKey kKey{{std::byte{1}}};

void UsePart(std::string_view numbers) {
  static const std::string sample = AsText(*EncodePart(SamplePart()));
  const auto part = DecodePart(AsBytes(WithNumbers(sample, numbers)));
  if (!part) return;
  for (const SpanRow& span : part->spans)
    Must(span.shard < part->shards.size() && span.stream < part->streams.size(),
         "a span is of a shard and a stream");
  (void)SpansOf(part->rest, 0);
  const LoadedShard rest(part->rest);
  for (uint32_t stream = 0; stream < part->streams.size(); ++stream)
    for (const ExtentRow& extent : rest.Within(stream, 0, UINT64_MAX))
      Must((extent.blob_offset + extent.length_bytes - 1) / kBlockBytes <
               rest.BlocksOf(extent.blob).size(),
           "every block of an extent has its digest");
}

void UseManifest(std::string_view numbers) {
  static const std::string sample = AsText(*EncodeManifest(SampleManifest(), kKey));
  std::string head = sample.substr(0, kUserBlockBytes);
  std::memset(head.data() + kDigestAt, 0, kDigestBytes);
  const auto manifest =
      DecodeManifest(AsBytes(head + WithNumbers(sample, numbers)), std::nullopt,
                     {.job = {"lab", 7, "20261128T004824Z"}, .checkpoint = 1, .uid = 8});
  if (!manifest) return;
  for (size_t pod = 0; pod < manifest->parts.size(); ++pod)
    Must(manifest->parts[pod].pod == pod, "parts are those of the pods, in order");
}

}  // namespace

void Feed(std::string_view bytes) {
  static const std::string sealed =
      AsText(*SealPart(SamplePart(), *EncodePart(SamplePart()), kKey));
  switch (Choose(bytes, 3)) {
    case 0:
      return UsePart(bytes);
    case 1:
      (void)ReadSealedPart(AsBytes(WithNumbers(sealed, bytes)));
      return;
    default:
      return UseManifest(bytes);
  }
}

// The samples as they are; and with numbers.
std::vector<std::string> Seeds() {
  std::vector<std::string> seeds;
  for (const char kind : {'\0', '\1', '\2'}) {
    seeds.push_back(std::string(1, kind));
    seeds.push_back(kind + std::string(400, '\1'));
  }
  return seeds;
}

}  // namespace holdfast::fuzz
