#include "warden/loop/spot.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <condition_variable>
#include <vector>

#include "base/files.h"
#include "tests/fakes/metadata_server.h"

namespace holdfast::warden {
namespace {

using fakes::Cloud;
using fakes::MetadataServer;
using namespace std::chrono_literals;

class SpotTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "holdfast-spot-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { ASSERT_TRUE(RemoveTree(directory_)); }

  Spot::Tell tell() {
    return [this](v1::FromWarden message) {
      const std::lock_guard lock(mutex_);
      if (message.has_notice()) notices_.push_back(message.notice());
      if (message.has_event()) events_.push_back(message.event().name());
      changed_.notify_all();
    };
  }
  bool Notices(size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 10s, [&] { return notices_.size() >= count; });
  }
  bool Events(size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 10s, [&] { return events_.size() >= count; });
  }
  notices::Settings Settings(const MetadataServer& server) {
    notices::Settings settings;
    settings.metadata_url = server.url();
    settings.lock_directory = directory_ + "/run";
    settings.poll_interval = 50ms;
    return settings;
  }

  std::string directory_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<v1::Notice> notices_;
  std::vector<std::string> events_;
};

TEST_F(SpotTest, TellsTheCoordinatorAndTellsItAgain) {
  MetadataServer server(Cloud::kGce);
  Spot spot("n1", tell());
  ASSERT_TRUE(spot.Watch(Settings(server)));
  spot.Repeat();
  server.AnnounceReclaim(30s);
  ASSERT_TRUE(Notices(1));
  EXPECT_EQ(notices_[0].kind(), v1::Notice::SPOT);
  EXPECT_EQ(notices_[0].detail(), "gce: instance/preempted is TRUE");
  const auto left = std::chrono::milliseconds(notices_[0].deadline_unix_ms()) -
                    std::chrono::system_clock::now().time_since_epoch();
  EXPECT_LE(left, 30s);
  EXPECT_GE(left, 20s);
  spot.Repeat();
  ASSERT_TRUE(Notices(2));
  EXPECT_EQ(notices_[1].deadline_unix_ms(), notices_[0].deadline_unix_ms());
  EXPECT_EQ(notices_.size(), 2U) << "nothing was repeated before there was something";
}

TEST_F(SpotTest, ARiskIsNoNotice) {
  MetadataServer server(Cloud::kAws);
  Spot spot("n1", tell());
  ASSERT_TRUE(spot.Watch(Settings(server)));
  server.AnnounceHarmless();
  ASSERT_TRUE(Events(1));
  EXPECT_EQ(events_[0], "at-risk");
  EXPECT_TRUE(notices_.empty());
}

TEST_F(SpotTest, RefusesAnUnknownProvider) {
  Spot spot("n1", tell());
  notices::Settings settings;
  settings.provider = "gcp";
  settings.lock_directory = directory_;
  EXPECT_EQ(spot.Watch(settings).error().code(), Code::kInvalid);
}

TEST_F(SpotTest, DrainsTheNodeByScontrol) {
  const std::string scontrol = directory_ + "/scontrol", said = directory_ + "/said";
  ASSERT_TRUE(WriteFile(scontrol, "#!/bin/sh\nprintf '%s\\n' \"$@\" >" + said + "\n"));
  ASSERT_EQ(::chmod(scontrol.c_str(), 0700), 0);
  {
    Spot spot("n1", tell(), scontrol);
    spot.Drain("holdfast: gce: it goes");
  }  // waits for it
  EXPECT_EQ(ReadFile(said), "update\nNodeName=n1\nState=DRAIN\nReason=holdfast: gce: it goes\n");
}

}  // namespace
}  // namespace holdfast::warden
