#include "warden/loop/cloud.h"

#include <gtest/gtest.h>

namespace holdfast::warden {
namespace {

TEST(Cloud, DefaultsAreThoseOfTheLibraries) {
  const notices::Settings notices = NoticeSettings({});
  EXPECT_EQ(notices.provider, "auto");
  EXPECT_EQ(notices.metadata_url, "");
}

TEST(Cloud, TakesWhatTheSiteSays) {
  config::Config config;
  config.cloud.metadata_url = "http://127.0.0.1:2";
  config.cloud.provider = "gce";
  config.cloud.notice_time = std::chrono::seconds(7);
  const notices::Settings notices = NoticeSettings(config);
  EXPECT_EQ(notices.provider, "gce");
  EXPECT_EQ(notices.metadata_url, "http://127.0.0.1:2");
  EXPECT_EQ(notices.notice_time, std::chrono::seconds(7));
}

}  // namespace
}  // namespace holdfast::warden
