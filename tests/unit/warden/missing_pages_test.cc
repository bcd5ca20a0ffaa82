#include "warden/memory/missing_pages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::warden {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint64_t kAll = 1ULL << 40;

MissingPages TwoRuns() {
  MissingPages pages;
  pages.Add({.address = 0x1000, .size_bytes = 0x4000, .stream_offset = 0});
  pages.Add({.address = 0x8000, .size_bytes = 0x2000, .stream_offset = 0x4000});
  return pages;
}

TEST(MissingPagesTest, FindsWhatIsMissing) {
  const MissingPages pages = TwoRuns();
  EXPECT_EQ(pages.size_bytes(), 0x6000u);
  EXPECT_TRUE(pages.Has(0x1000));
  EXPECT_TRUE(pages.Has(0x4fff));
  EXPECT_FALSE(pages.Has(0x5000));
  EXPECT_FALSE(pages.Has(0xa000));
  EXPECT_EQ(pages.FirstFrom(0), 0x1000u);
  EXPECT_EQ(pages.FirstFrom(0x2000), 0x2000u);
  EXPECT_EQ(pages.FirstFrom(0x5000), 0x8000u);
  EXPECT_EQ(pages.FirstFrom(0xa000), std::nullopt);
  EXPECT_THAT(pages.Within(0x3000, 0x6000),
              ElementsAre(MissingRun{0x3000, 0x2000, 0x2000}, MissingRun{0x8000, 0x1000, 0x4000}));
  EXPECT_THAT(pages.Within(0x5000, 0x3000), IsEmpty());
}

TEST(MissingPagesTest, DropsFromTheMiddle) {
  MissingPages pages = TwoRuns();
  pages.Drop(0x2000, 0x1000);
  EXPECT_THAT(pages.Within(0, kAll),
              ElementsAre(MissingRun{0x1000, 0x1000, 0}, MissingRun{0x3000, 0x2000, 0x2000},
                          MissingRun{0x8000, 0x2000, 0x4000}));
  pages.Drop(0x1000, 0x8000);
  EXPECT_THAT(pages.Within(0, kAll), ElementsAre(MissingRun{0x9000, 0x1000, 0x5000}));
  pages.Drop(0, kAll);
  EXPECT_TRUE(pages.empty());
}

TEST(MissingPagesTest, DropsMoreThanFourGigabytes) {
  MissingPages pages;
  pages.Add({.address = 1ULL << 33, .size_bytes = 3ULL << 32, .stream_offset = 0});
  pages.Drop(1ULL << 33, 2ULL << 32);
  EXPECT_THAT(pages.Within(0, kAll), ElementsAre(MissingRun{1ULL << 34, 1ULL << 32, 2ULL << 32}));
}

TEST(MissingPagesTest, FollowsAMove) {
  MissingPages pages = TwoRuns();
  pages.Move(0x3000, 0x20000, 0x6000);
  EXPECT_THAT(
      pages.Within(0, kAll),
      ElementsAre(MissingRun{0x1000, 0x2000, 0}, MissingRun{0x9000, 0x1000, 0x5000},
                  MissingRun{0x20000, 0x2000, 0x2000}, MissingRun{0x25000, 0x1000, 0x4000}));
}

TEST(MissingPagesTest, AMoveTakesThePlaceOfWhatWasThere) {
  MissingPages pages = TwoRuns();
  pages.Move(0x1000, 0x8000, 0x1000);
  EXPECT_THAT(pages.Within(0x8000, 0x2000),
              ElementsAre(MissingRun{0x8000, 0x1000, 0}, MissingRun{0x9000, 0x1000, 0x5000}));
}

}  // namespace
}  // namespace holdfast::warden
