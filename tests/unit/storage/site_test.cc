#include "storage/site.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/files.h"

namespace holdfast::storage {
namespace {

TEST(Site, LoadsTheKeysThatAreConfigured) {
  if (::geteuid() != 0) GTEST_SKIP() << "keys belong to root; this does not run as root";
  char name[] = "/tmp/holdfast-site-XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  const std::string directory = name;
  config::Config config;
  config.node.key_file = directory + "/site.key";
  ASSERT_TRUE(WriteFile(config.node.key_file, std::string(64, 'a'), 0400));
  auto keys = LoadKeys(config);
  ASSERT_TRUE(keys) << keys.error().message();
  EXPECT_TRUE(keys->encryption.keys.empty());

  config.checkpoint.encryption_key_file = directory + "/encryption.key";
  EXPECT_FALSE(LoadKeys(config)) << "what is to be encrypted must not be stored in the clear";
  ASSERT_TRUE(WriteFile(config.checkpoint.encryption_key_file, std::string(64, 'b') + "\n", 0400));
  keys = LoadKeys(config);
  ASSERT_TRUE(keys) << keys.error().message();
  ASSERT_EQ(keys->encryption.keys.size(), 1u);
  EXPECT_EQ(keys->encryption.keys[0].bytes[0], std::byte{0xbb});
  EXPECT_EQ(keys->site->bytes[0], std::byte{0xaa});
  ASSERT_TRUE(RemoveTree(directory));
}

}  // namespace
}  // namespace holdfast::storage
