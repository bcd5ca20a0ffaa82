#include "pod/steps/hostlist.h"

#include <gmock/gmock.h>

namespace holdfast::pod {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

TEST(ExpandHosts, ReadsWhatSlurmWrites) {
  EXPECT_THAT(*ExpandHosts("n[1-3,7],login"), ElementsAre("n1", "n2", "n3", "n7", "login"));
  EXPECT_THAT(*ExpandHosts("n[008-010]"), ElementsAre("n008", "n009", "n010"));
  EXPECT_THAT(*ExpandHosts("n2,n1,n2"), ElementsAre("n2", "n1", "n2"));
  EXPECT_THAT(*ExpandHosts(""), SizeIs(0));
}

TEST(ExpandHosts, RefusesWhatIsNone) {
  for (const char* text : {"n[1-", "n[2-1]", "n]1[", "n[1-9999999]", "n[x]"})
    EXPECT_FALSE(ExpandHosts(text)) << text;
}

TEST(CompressHosts, WritesAsSlurmDoes) {
  EXPECT_EQ(CompressHosts({"n1", "n2", "n3", "n7"}), "n[1-3,7]");
  EXPECT_EQ(CompressHosts({"n1"}), "n1");
  EXPECT_EQ(CompressHosts({"n09", "n10", "m1"}), "n[09-10],m1");
}

TEST(Compress, NumbersAndCounts) {
  EXPECT_EQ(CompressNumbers({0, 2, 3, 4}), "0,2-4");
  EXPECT_EQ(CompressCounts({2, 2, 1}), "2(x2),1");
}

}  // namespace
}  // namespace holdfast::pod
