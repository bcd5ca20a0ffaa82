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
  EXPECT_THAT(*ExpandHosts("n[5000000000-5000000001]"), ElementsAre("n5000000000", "n5000000001"));
  EXPECT_THAT(*ExpandHosts("n[18446744073709551615]"), ElementsAre("n18446744073709551615"));
  EXPECT_THAT(*ExpandHosts(""), SizeIs(0));
}

TEST(ExpandHosts, RefusesWhatIsNone) {
  for (const char* text :
       {"n[1-", "n[2-1]", "n]1[", "n[1-9999999]", "n[x]", "n[1-2][", "n[1-2]m[3]"})
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
