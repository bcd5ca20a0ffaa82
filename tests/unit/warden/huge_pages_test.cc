#include "warden/memory/huge_pages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

namespace holdfast::warden {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using Where = HugePageRules::Where;

constexpr uint64_t kHuge = 2 << 20;
constexpr uint64_t kPage = 4096;
constexpr pid_t kPid = 7;

class HugePagesTest : public ::testing::Test {
 protected:
  void Map(uint64_t start, uint64_t end, int advice = -1) {
    image::vma_entry& mapping = *images_.mappings[kPid].add_vmas();
    mapping.set_start(start);
    mapping.set_end(end);
    if (advice >= 0) mapping.set_madv(1ULL << advice);
  }
  void Come(uint64_t start, uint64_t end) {
    coming_[kPid].missing.Add(
        {.address = start, .size_bytes = end - start, .stream_offset = start / 2});
  }
  HugePagePlan Plan(Where where) const {
    return PlanHugePages({.where = where, .size_bytes = kHuge}, images_, coming_);
  }

  MemoryImages images_;
  std::map<pid_t, LazyProcess> coming_;
};

TEST_F(HugePagesTest, WholeOnesInsideOfAMapping) {
  Map(kHuge - kPage, 4 * kHuge + kPage);
  Come(kHuge - kPage, 4 * kHuge + kPage);
  EXPECT_THAT(Plan(Where::kEverywhere),
              ElementsAre(Pair(kPid, ElementsAre(kHuge, 2 * kHuge, 3 * kHuge))));
}

TEST_F(HugePagesTest, NoneWithAPageThatDoesNotCome) {
  Map(0, 3 * kHuge);
  Come(0, 2 * kHuge - kPage);
  Come(2 * kHuge, 2 * kHuge + kPage);
  Come(2 * kHuge + kPage, 3 * kHuge);
  EXPECT_THAT(Plan(Where::kEverywhere), ElementsAre(Pair(kPid, ElementsAre(0, 2 * kHuge))));
}

TEST_F(HugePagesTest, NoneAcrossMappings) {
  Map(0, kHuge / 2);
  Map(kHuge / 2, kHuge);
  Come(0, kHuge);
  EXPECT_THAT(Plan(Where::kEverywhere), IsEmpty());
}

TEST_F(HugePagesTest, AsTheNodeAndTheProgramWant) {
  Map(0, kHuge);
  Map(kHuge, 2 * kHuge, MADV_HUGEPAGE);
  Map(2 * kHuge, 3 * kHuge, MADV_NOHUGEPAGE);
  Come(0, 3 * kHuge);
  EXPECT_THAT(Plan(Where::kEverywhere), ElementsAre(Pair(kPid, ElementsAre(0, kHuge))));
  EXPECT_THAT(Plan(Where::kWhereAdvised), ElementsAre(Pair(kPid, ElementsAre(kHuge))));
  EXPECT_THAT(Plan(Where::kNever), IsEmpty());
}

}  // namespace
}  // namespace holdfast::warden
