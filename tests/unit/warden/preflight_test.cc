#include "warden/checkpoint/preflight.h"

#include <fcntl.h>
#include <gmock/gmock.h>

#include "base/files.h"

namespace holdfast::warden {
namespace {

using ::testing::HasSubstr;

Attributes Node() {
  return {{"arch", "x86_64"},
          {"cpu", "A"},
          {"cpu_flags", "fpu vme sse4_2 avx avx2 arch_capabilities"},
          {"xsave_bytes", "832"}};
}

TEST(Preflight, DescribesThisNode) {
  const Attributes here = DescribeNode({4, 2, 1});
  EXPECT_EQ(here.at("criu"), "4.2.1");
  EXPECT_FALSE(here.at("arch").empty());
  EXPECT_FALSE(here.at("cpu").empty());
  EXPECT_FALSE(here.at("cpu_flags").empty());
  EXPECT_TRUE(CompareNodes(here, here));
}

TEST(Preflight, ABetterCpuIsFine) {
  Attributes here = Node();
  here["cpu_flags"] += " avx512f";
  EXPECT_TRUE(CompareNodes(Node(), here));
}

TEST(Preflight, FlagsThatProgramsDoNotUseMayDiffer) {
  Attributes here = Node();
  here["cpu_flags"] = "fpu vme sse4_2 avx avx2";
  EXPECT_TRUE(CompareNodes(Node(), here));
}

TEST(Preflight, NamesWhatTheCpuLacks) {
  Attributes here = Node();
  here["cpu_flags"] = "fpu vme sse4_2 avx";
  here["cpu"] = "B";
  const Status status = CompareNodes(Node(), here);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), Code::kUnfit);
  EXPECT_THAT(status.error().message(), HasSubstr("avx2"));
  EXPECT_THAT(status.error().message(), HasSubstr("(B)"));
}

TEST(Preflight, OtherStateSizeOrArchitecture) {
  Attributes here = Node();
  here["xsave_bytes"] = "2688";
  EXPECT_FALSE(CompareNodes(Node(), here));
  here = Node();
  here["arch"] = "aarch64";
  const Status status = CompareNodes(Node(), here);
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message(), HasSubstr("aarch64"));
}

TEST(BuildId, OfAProgramAndOfNone) {
  const auto self = OpenFile("/proc/self/exe", O_RDONLY);
  ASSERT_TRUE(self);
  const auto id = ReadBuildId(*self);
  ASSERT_TRUE(id);
  EXPECT_EQ(id->size(), 40u);  // SHA-1
  const auto text = OpenFile("/proc/self/status", O_RDONLY);
  ASSERT_TRUE(text);
  EXPECT_FALSE(ReadBuildId(*text));
}

}  // namespace
}  // namespace holdfast::warden
