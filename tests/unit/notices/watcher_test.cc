#include "warden/notices/watcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <condition_variable>
#include <mutex>
#include <vector>

#include "base/files.h"
#include "tests/fakes/metadata_server.h"
#include "warden/notices/source.h"

namespace holdfast::notices {
namespace {

using fakes::Cloud;
using fakes::MetadataServer;
using testing::HasSubstr;
using testing::SizeIs;
using namespace std::chrono_literals;
using SystemClock = std::chrono::system_clock;

// What a watcher reported.
class Inbox {
 public:
  std::function<void(const Notice&)> callback() {
    return [this](const Notice& notice) {
      const std::lock_guard lock(mutex_);
      notices_.push_back(notice);
      changed_.notify_all();
    };
  }
  // Those that came until there were `count`, or the time was over.
  std::vector<Notice> Wait(size_t count, std::chrono::milliseconds time = 5s) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, time, [&] { return notices_.size() >= count; });
    return notices_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Notice> notices_;
};

class WatcherTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/holdfast-notices-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(directory_)); }

  std::unique_ptr<Watcher> Start(Inbox& inbox, const MetadataServer& server,
                                 const std::string& provider = "auto",
                                 std::chrono::seconds notice_time = 0s) {
    auto watcher = Watcher::Start({.provider = provider,
                                   .metadata_url = server.url(),
                                   .notice_time = notice_time,
                                   .lock_directory = directory_ + "/run",
                                   .dmi_directory = directory_,
                                   .poll_interval = 50ms},
                                  inbox.callback());
    EXPECT_TRUE(watcher) << watcher.error().message();
    return std::move(*watcher);
  }

  static void ExpectDeadline(const Notice& notice, std::chrono::seconds after) {
    const auto left = notice.deadline - SystemClock::now();
    EXPECT_LE(left, after);
    EXPECT_GE(left, after - 4s);
  }

  std::string directory_;
};

TEST(Times, AreThoseThatTheClockCanHold) {
  constexpr const char* kFormat = "%Y-%m-%dT%H:%M:%SZ";
  EXPECT_EQ(ParseTime("2026-01-31T12:00:00Z", kFormat),
            SystemClock::time_point(std::chrono::seconds(1'769'860'800)));
  for (const char* text : {"24-01-31T12:00:00Z", "2263-01-01T00:00:00Z", "2026-01-31", ""})
    EXPECT_FALSE(ParseTime(text, kFormat)) << text;
}

TEST_F(WatcherTest, TellsOfAPreemptionOnGce) {
  MetadataServer server(Cloud::kGce);
  Inbox inbox;
  const auto watcher = Start(inbox, server);
  EXPECT_THAT(inbox.Wait(1, 500ms), SizeIs(0));
  const auto announced = SystemClock::now();
  server.AnnounceReclaim(30s);
  const auto notices = inbox.Wait(1);
  ASSERT_THAT(notices, SizeIs(1));
  EXPECT_LT(SystemClock::now() - announced, 500ms);  // the server answers when it changes
  EXPECT_EQ(notices[0].provider, "gce");
  EXPECT_EQ(notices[0].kind, Notice::Kind::kReclaim);
  EXPECT_THAT(notices[0].detail, HasSubstr("instance/preempted"));
  ExpectDeadline(notices[0], 30s);
  EXPECT_THAT(inbox.Wait(2, 300ms), SizeIs(1));  // once
}

TEST_F(WatcherTest, WaitsForNewsOnGceWithoutPolling) {
  MetadataServer server(Cloud::kGce);
  Inbox inbox;
  const auto watcher = Start(inbox, server, "gce");
  inbox.Wait(1, 1s);
  EXPECT_LE(server.requests(), 4u);  // two values, each once at once and once waiting
}

TEST_F(WatcherTest, TellsOfMaintenanceOnGceUnlessItIsLive) {
  MetadataServer server(Cloud::kGce);
  Inbox inbox;
  const auto watcher = Start(inbox, server, "gce", 45s);
  server.AnnounceHarmless();
  EXPECT_THAT(inbox.Wait(1, 500ms), SizeIs(0));
  server.AnnounceMaintenance(60s);
  const auto notices = inbox.Wait(1);
  ASSERT_THAT(notices, SizeIs(1));
  EXPECT_THAT(notices[0].detail, HasSubstr("TERMINATE_ON_HOST_MAINTENANCE"));
  ExpectDeadline(notices[0], 45s);  // as configured
}

TEST_F(WatcherTest, TellsAgainAfterAWithdrawal) {
  MetadataServer server(Cloud::kGce);
  Inbox inbox;
  const auto watcher = Start(inbox, server);
  server.AnnounceReclaim(30s);
  ASSERT_THAT(inbox.Wait(1), SizeIs(1));
  server.Withdraw();
  inbox.Wait(2, 300ms);
  server.AnnounceReclaim(30s);
  EXPECT_THAT(inbox.Wait(2), SizeIs(2));
}

TEST_F(WatcherTest, OutlastsAServerThatIsAway) {
  MetadataServer server(Cloud::kGce);
  server.FailNext(4);
  Inbox inbox;
  const auto watcher = Start(inbox, server, "gce");
  server.AnnounceReclaim(30s);
  EXPECT_THAT(inbox.Wait(1, 10s), SizeIs(1));
}

TEST_F(WatcherTest, TellsOfAReclaimOnAwsWithItsTime) {
  MetadataServer server(Cloud::kAws);
  Inbox inbox;
  const auto watcher = Start(inbox, server);
  inbox.Wait(1, 300ms);
  server.ForgetSessions();  // tokens expire
  server.AnnounceReclaim(100s);
  const auto notices = inbox.Wait(1);
  ASSERT_THAT(notices, SizeIs(1));
  EXPECT_EQ(notices[0].provider, "aws");
  EXPECT_THAT(notices[0].detail, HasSubstr("terminate"));
  ExpectDeadline(notices[0], 100s);
  EXPECT_THAT(inbox.Wait(2, 300ms), SizeIs(1));
}

TEST_F(WatcherTest, TellsOfARebalanceRecommendationAsARisk) {
  MetadataServer server(Cloud::kAws);
  Inbox inbox;
  const auto watcher = Start(inbox, server);
  server.AnnounceHarmless();
  const auto notices = inbox.Wait(1);
  ASSERT_THAT(notices, SizeIs(1));
  EXPECT_EQ(notices[0].kind, Notice::Kind::kAtRisk);
}

TEST_F(WatcherTest, TellsOfAnEvictionOnAzureForThisMachineOnly) {
  MetadataServer server(Cloud::kAzure);
  Inbox inbox;
  const auto watcher = Start(inbox, server);
  server.AnnounceHarmless();  // Freeze
  EXPECT_THAT(inbox.Wait(1, 500ms), SizeIs(0));
  server.AnnounceReclaim(30s);
  const auto notices = inbox.Wait(2, 1s);
  ASSERT_THAT(notices, SizeIs(1));
  EXPECT_EQ(notices[0].provider, "azure");
  EXPECT_THAT(notices[0].detail, HasSubstr("Preempt"));
  ExpectDeadline(notices[0], 30s);
}

TEST_F(WatcherTest, OneOfANodeAsksAndTheNextTakesOver) {
  MetadataServer server(Cloud::kGce);
  Inbox first_inbox, second_inbox;
  auto first = Start(first_inbox, server);
  first_inbox.Wait(1, 500ms);
  const unsigned asked = server.requests();
  const auto second = Start(second_inbox, server);
  second_inbox.Wait(1, 500ms);
  EXPECT_EQ(server.requests(), asked);
  first.reset();
  server.AnnounceReclaim(30s);
  EXPECT_THAT(second_inbox.Wait(1), SizeIs(1));
  EXPECT_THAT(first_inbox.Wait(1, 0ms), SizeIs(0));
  struct stat status{};
  ASSERT_EQ(::stat((directory_ + "/run").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
}

TEST_F(WatcherTest, StopsAtOnce) {
  MetadataServer server(Cloud::kGce);
  Inbox inbox;
  auto watcher = Start(inbox, server);
  inbox.Wait(1, 500ms);
  const auto start = SystemClock::now();
  watcher.reset();
  EXPECT_LT(SystemClock::now() - start, 1s);
}

TEST_F(WatcherTest, KnowsTheProviderByTheFirmwareWithoutAskingAnybody) {
  http::Client client;
  const Settings settings{.dmi_directory = directory_};
  const auto detect = [&] {
    const Source* const source = Detect(settings, client, {});
    return source ? source->name : "none";
  };
  EXPECT_EQ(detect(), "none");
  ASSERT_TRUE(WriteFile(directory_ + "/product_name", "Standard PC\n"));
  EXPECT_EQ(detect(), "none");
  ASSERT_TRUE(WriteFile(directory_ + "/chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77\n"));
  EXPECT_EQ(detect(), "azure");
  ASSERT_TRUE(WriteFile(directory_ + "/sys_vendor", "Amazon EC2\n"));
  EXPECT_EQ(detect(), "aws");
  ASSERT_TRUE(WriteFile(directory_ + "/product_name", "Google Compute Engine\n"));
  EXPECT_EQ(detect(), "gce");
}

TEST_F(WatcherTest, KnowsHowLongBeforeTheEndNoticeIsGiven) {
  Settings settings{.dmi_directory = directory_};
  EXPECT_EQ(NoticeTime(settings), 0s);
  ASSERT_TRUE(WriteFile(directory_ + "/sys_vendor", "Amazon EC2\n"));
  EXPECT_EQ(NoticeTime(settings), 120s);
  settings.provider = "azure";
  EXPECT_EQ(NoticeTime(settings), 30s);
  settings.notice_time = 45s;
  EXPECT_EQ(NoticeTime(settings), 45s);
  settings.provider = "none";
  EXPECT_EQ(NoticeTime(settings), 0s);
}

TEST_F(WatcherTest, RefusesAnUnknownProvider) {
  Inbox inbox;
  const auto watcher =
      Watcher::Start({.provider = "gcp", .lock_directory = directory_}, inbox.callback());
  ASSERT_FALSE(watcher);
  EXPECT_THAT(watcher.error().message(), HasSubstr("auto, gce, aws, azure and none"));
}

}  // namespace
}  // namespace holdfast::notices
