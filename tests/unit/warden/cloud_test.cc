#include "warden/cloud.h"

#include <gtest/gtest.h>

namespace holdfast::warden {
namespace {

TEST(Cloud, DefaultsAreThoseOfTheLibraries) {
  const storage::gcs::Settings storage = CloudStorageSettings({}), own;
  EXPECT_EQ(storage.endpoint, own.endpoint);
  EXPECT_EQ(storage.metadata_url, own.metadata_url);
  EXPECT_EQ(storage.patience, own.patience);
  EXPECT_EQ(storage.stall_timeout, own.stall_timeout);
  const notices::Settings notices = NoticeSettings({});
  EXPECT_EQ(notices.provider, "auto");
  EXPECT_EQ(notices.metadata_url, "");
}

TEST(Cloud, TakesWhatTheSiteSays) {
  config::Config config;
  config.cloud.endpoint = "http://10.0.0.1:1";
  config.cloud.credentials_file = "/key";
  config.cloud.ca_file = "/ca";
  config.cloud.proxy = "http://proxy";
  config.cloud.metadata_url = "http://127.0.0.1:2";
  config.cloud.provider = "gce";
  config.cloud.notice_time = std::chrono::seconds(7);
  const storage::gcs::Settings storage = CloudStorageSettings(config);
  EXPECT_EQ(storage.endpoint, "http://10.0.0.1:1");
  EXPECT_EQ(storage.key_file, "/key");
  EXPECT_EQ(storage.ca_file, "/ca");
  EXPECT_EQ(storage.proxy, "http://proxy");
  EXPECT_EQ(storage.metadata_url, "http://127.0.0.1:2");
  const notices::Settings notices = NoticeSettings(config);
  EXPECT_EQ(notices.provider, "gce");
  EXPECT_EQ(notices.metadata_url, "http://127.0.0.1:2");
  EXPECT_EQ(notices.notice_time, std::chrono::seconds(7));
}

}  // namespace
}  // namespace holdfast::warden
