#include "warden/attributes/policies.h"

#include <gtest/gtest.h>
#include <linux/mempolicy.h>

namespace holdfast::warden {
namespace {

// Mode and places.
std::string Parsed(std::string_view line, const std::vector<uint32_t>& allowed) {
  const auto policy = ParsePolicy(line, allowed);
  if (!policy) return "usual";
  std::string text = std::to_string(policy->mode());
  for (const uint32_t place : policy->places()) text += " " + std::to_string(place);
  return text;
}

std::string Mode(uint32_t mode) { return std::to_string(mode); }

TEST(PoliciesTest, NodesAreParsed) {
  EXPECT_EQ(ParseNodes("0"), std::vector<uint32_t>({0}));
  EXPECT_EQ(ParseNodes("0-2,5"), std::vector<uint32_t>({0, 1, 2, 5}));
  EXPECT_TRUE(ParseNodes("").empty());
  EXPECT_TRUE(ParseNodes("0-99999").empty());
  EXPECT_TRUE(ParseNodes("x").empty());
}

TEST(PoliciesTest, AreSavedByPlaces) {
  const std::vector<uint32_t> allowed = {2, 3, 6};
  EXPECT_EQ(Parsed("default file=/usr/bin/cat mapped=2", allowed), "usual");
  EXPECT_EQ(Parsed("unknown", allowed), "usual");
  EXPECT_EQ(Parsed("local anon=1", allowed), Mode(MPOL_LOCAL));
  EXPECT_EQ(Parsed("prefer:3 anon=1 N3=1", allowed), Mode(MPOL_PREFERRED) + " 1");
  EXPECT_EQ(Parsed("prefer (many):2-3", allowed), Mode(MPOL_PREFERRED_MANY) + " 0 1");
  EXPECT_EQ(Parsed("interleave:2-3,6 anon=3", allowed), Mode(MPOL_INTERLEAVE));
  EXPECT_EQ(Parsed("bind=static:6\n", allowed), Mode(MPOL_BIND | MPOL_F_STATIC_NODES) + " 2");
  EXPECT_EQ(Parsed("bind=relative|balancing:3", allowed),
            Mode(MPOL_BIND | MPOL_F_RELATIVE_NODES | MPOL_F_NUMA_BALANCING) + " 1");
  EXPECT_EQ(Parsed("weighted interleave:2", allowed), Mode(MPOL_WEIGHTED_INTERLEAVE) + " 0");
}

}  // namespace
}  // namespace holdfast::warden
