#include "storage/site.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/files.h"

namespace holdfast::storage {
namespace {

TEST(Site, DefaultsAreThoseOfTheLibrary) {
  const gcs::Settings settings = CloudSettings({}), own;
  EXPECT_EQ(settings.endpoint, own.endpoint);
  EXPECT_EQ(settings.metadata_url, own.metadata_url);
  EXPECT_EQ(settings.patience, own.patience);
  EXPECT_EQ(settings.stall_timeout, own.stall_timeout);
}

TEST(Site, TakesWhatTheSiteSays) {
  config::Config config;
  config.cloud.endpoint = "http://10.0.0.1:1";
  config.cloud.credentials_file = "/key";
  config.cloud.ca_file = "/ca";
  config.cloud.proxy = "http://proxy";
  config.cloud.metadata_url = "http://127.0.0.1:2";
  const gcs::Settings settings = CloudSettings(config);
  EXPECT_EQ(settings.endpoint, "http://10.0.0.1:1");
  EXPECT_EQ(settings.key_file, "/key");
  EXPECT_EQ(settings.ca_file, "/ca");
  EXPECT_EQ(settings.proxy, "http://proxy");
  EXPECT_EQ(settings.metadata_url, "http://127.0.0.1:2");
}

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
