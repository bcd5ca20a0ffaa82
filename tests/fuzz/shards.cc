// A shard of a part (storage/shard.h), its rules, and looking things up in one that keeps them.
#include "storage/layout.h"
#include "storage/shard.h"
#include "tests/fuzz/fuzz.h"

namespace holdfast::fuzz {
namespace {

using namespace storage;

std::vector<PodReader::Stream> Streams() {
  return {{"pages-1.img", 1 << 20}, {"scratch", 100'000}};
}
std::vector<PackRow> Packs() {
  return {{PackKey(1, 0, 0), 1000}, {PackKey(2, 0, 0), kExtentBytes}};
}

}  // namespace

void Feed(std::string_view bytes) {
  auto shard = DecodeShard(AsBytes(bytes));
  if (!shard) return;
  Must(AsText(EncodeShard(*shard)).substr(24) == bytes.substr(24), "a shard is read as written");
  if (!CheckBlobs(*shard, Packs()) || !CheckExtents(*shard, Streams())) return;
  (void)SpansOf(*shard, 0);
  const LoadedShard loaded(std::move(*shard));
  for (const uint64_t offset : {uint64_t{0}, uint64_t{16'384}, uint64_t{1} << 19})
    for (uint32_t stream = 0; stream < Streams().size(); ++stream)
      for (const ExtentRow& extent : loaded.Within(stream, offset, offset + 4096)) {
        const auto blocks = loaded.BlocksOf(extent.blob);
        Must((extent.blob_offset + extent.length_bytes - 1) / kBlockBytes < blocks.size(),
             "every block of an extent has its digest");
      }
}

std::vector<std::string> Seeds() {
  Shard shard;
  shard.blobs = {
      {.pack = 1, .codec = Codec::kRaw, .offset = 0, .stored_bytes = 40'000, .raw_bytes = 40'000},
      {.pack = 0, .codec = Codec::kZstd, .offset = 990, .stored_bytes = 10, .raw_bytes = 16'384}};
  shard.blocks.resize(4);
  shard.extents = {{.stream = 0,
                    .pid = 1,
                    .offset = 0,
                    .address = 1 << 20,
                    .length_bytes = 16'384,
                    .blob = 1,
                    .blob_offset = 0},
                   {.stream = 0,
                    .pid = 1,
                    .offset = 16'384,
                    .address = (1 << 20) + 16'384,
                    .length_bytes = 7'232,
                    .blob = 0,
                    .blob_offset = 32'768}};
  return {AsText(EncodeShard(shard)), AsText(EncodeShard({}))};
}

}  // namespace holdfast::fuzz
