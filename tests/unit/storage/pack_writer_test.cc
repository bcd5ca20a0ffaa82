#include "storage/pack_writer.h"

#include "tests/unit/storage/test_job.h"

namespace holdfast::storage {
namespace {

TEST(PackWriterTest, BlobsLieWhereItSays) {
  MemoryBackend backend;
  Packs packs(backend, 1, 0, /*encrypted=*/false);
  PackWriter one(packs, 64 << 10), two(packs, 64 << 10);
  std::vector<std::pair<PackWriter::Location, Bytes>> blobs;
  for (size_t i = 0; i < 30; ++i) {
    Bytes blob = RandomBytes(1 + i * 7919 % 200'000, i);
    const auto location = (i % 3 == 0 ? one : two).Append(blob);
    ASSERT_OK(location);
    blobs.emplace_back(*location, std::move(blob));
  }
  ASSERT_OK(one.Finish());
  ASSERT_OK(two.Finish());
  const auto rows = packs.rows();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].name, "packs/000001-0-0.pack");
  uint64_t stored = 0;
  for (const auto& [location, blob] : blobs) {
    const Bytes pack = backend.Get(rows[location.pack].name);
    EXPECT_EQ(pack.size(), rows[location.pack].size_bytes);
    ASSERT_LE(location.offset + blob.size(), pack.size());
    EXPECT_TRUE(std::equal(blob.begin(), blob.end(),
                           pack.begin() + static_cast<ptrdiff_t>(location.offset)));
    stored += blob.size();
  }
  EXPECT_EQ(packs.stored_bytes(), stored);
}

TEST(PackWriterTest, NothingAppendedIsNoPack) {
  MemoryBackend backend;
  Packs packs(backend, 1, 0, /*encrypted=*/false);
  PackWriter writer(packs, 64 << 10);
  ASSERT_OK(writer.Finish());
  EXPECT_TRUE(packs.rows().empty());
  EXPECT_EQ(backend.operations(), 0u);
}

TEST(PackWriterTest, AfterFinishANewPackBegins) {
  MemoryBackend backend;
  Packs packs(backend, 1, 0, /*encrypted=*/false);
  PackWriter writer(packs, 64 << 10);
  ASSERT_OK(writer.Append(RandomBytes(100, 1)));
  ASSERT_OK(writer.Finish());
  const auto location = writer.Append(RandomBytes(100, 2));
  ASSERT_OK(location);
  EXPECT_EQ(location->pack, 1u);
  EXPECT_EQ(location->offset, 0u);
}

TEST(PackWriterTest, OnlyFinishedPacksOfOursAreRemoved) {
  MemoryBackend backend;
  ASSERT_OK(backend.PutIfAbsent("packs/000001-0-0.pack", RandomBytes(10, 1)));  // somebody else's
  Packs packs(backend, 1, 0, /*encrypted=*/false);
  {
    PackWriter writer(packs, 64 << 10);
    ASSERT_OK(writer.Append(RandomBytes(100, 2)));
    EXPECT_CODE(writer.Finish(), Code::kConflict);
    ASSERT_OK(writer.Append(RandomBytes(100, 2)));
    ASSERT_OK(writer.Finish());
  }
  packs.Remove();
  EXPECT_EQ(backend.List("")->size(), 1u);
  EXPECT_EQ(backend.Get("packs/000001-0-0.pack").size(), 10u);
}

}  // namespace
}  // namespace holdfast::storage
