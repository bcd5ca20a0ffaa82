#include "storage/layout.h"

#include <gtest/gtest.h>

namespace holdfast::storage {
namespace {

TEST(LayoutTest, NamesParseBack) {
  const auto manifest = ParseKey(ManifestKey(17));
  ASSERT_TRUE(manifest);
  EXPECT_EQ(manifest->kind, ObjectName::Kind::kManifest);
  EXPECT_EQ(manifest->checkpoint, 17u);
  EXPECT_FALSE(manifest->unfinished);

  const auto part = ParseKey(PartKey(1234567, 3));
  ASSERT_TRUE(part);
  EXPECT_EQ(part->kind, ObjectName::Kind::kPart);
  EXPECT_EQ(part->checkpoint, 1234567u);
  EXPECT_EQ(part->pod, 3u);

  const auto pack = ParseKey(PackKey(1, 20, 300) + ".tmp-00ff");
  ASSERT_TRUE(pack);
  EXPECT_EQ(pack->kind, ObjectName::Kind::kPack);
  EXPECT_EQ(pack->pod, 20u);
  EXPECT_EQ(pack->sequence, 300u);
  EXPECT_TRUE(pack->unfinished);
}

TEST(LayoutTest, OtherNamesAreNotOurs) {
  for (const char* key :
       {"manifest-17.h5", "manifest-000017.h5x", "manifest-0000017.h5", "parts/000017.h5",
        "parts/000017-03.h5", "packs/000017-1.pack", "packs/000017-1-2.pack/x", "notes.txt", "",
        "manifest--00001.h5", "manifest-99999999999.h5"})
    EXPECT_FALSE(ParseKey(key)) << key;
}

}  // namespace
}  // namespace holdfast::storage
