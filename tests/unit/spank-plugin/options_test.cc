#include "spank-plugin/options.h"

#include <gtest/gtest.h>

namespace holdfast::spank {
namespace {

using std::chrono::seconds;

std::string ErrorOf(OptionId id, std::string_view value) {
  Options options;
  const Status status = options.Set(id, value);
  return status ? "" : status.error().message();
}

TEST(Options, NothingSetMeansOff) {
  const Options options;
  EXPECT_FALSE(options.enabled());
  EXPECT_TRUE(options.Check());
}

TEST(Options, TheTableIsInTheOrderOfTheIds) {
  for (size_t i = 0; i < kOptions.size(); ++i)
    EXPECT_EQ(static_cast<size_t>(kOptions[i].id), i) << kOptions[i].name;
}

TEST(Checkpoint, TakesASwitchOrATime) {
  const struct {
    const char* value;
    bool enabled;
    std::optional<Interval> interval;
  } kCases[] = {{"", true, {}},
                {"on", true, {}},
                {"off", false, {}},
                {"10m", true, Interval{seconds(600)}},
                {"30", true, Interval{seconds(1800)}},
                {"1:30:00", true, Interval{seconds(5400)}},
                {"1-12", true, Interval{seconds(129600)}},
                {"auto", true, Interval{.automatic = true}}};
  for (const auto& c : kCases) {
    Options options;
    ASSERT_TRUE(options.Set(OptionId::kCheckpoint, c.value)) << c.value;
    EXPECT_EQ(options.enabled(), c.enabled) << c.value;
    EXPECT_EQ(options.interval(), c.interval) << c.value;
  }
}

TEST(Checkpoint, TheLastOneCounts) {
  Options options;
  ASSERT_TRUE(options.Set(OptionId::kCheckpoint, "10m"));
  ASSERT_TRUE(options.Set(OptionId::kCheckpoint, "off"));
  EXPECT_FALSE(options.enabled());
  ASSERT_TRUE(options.Set(OptionId::kCheckpoint, ""));
  EXPECT_TRUE(options.enabled());
  EXPECT_FALSE(options.interval());
}

TEST(Checkpoint, NamesOptionValueAndWhatIsAccepted) {
  for (const char* value : {"yes", "ON", "0", "0s", "10x", "-5", "1:2:3:4", " "}) {
    const std::string message = ErrorOf(OptionId::kCheckpoint, value);
    EXPECT_TRUE(message.starts_with("--checkpoint=" + std::string(value) + ": accepted is on, off"))
        << message;
  }
}

TEST(Directory, TakesPathsAndBuckets) {
  for (const char* value :
       {"/scratch/alice", "/", "file:///scratch/alice", "gs://bucket", "gs://bucket/a/b"}) {
    Options options;
    ASSERT_TRUE(options.Set(OptionId::kDirectory, value)) << value;
    EXPECT_EQ(options.directory(), value);
  }
}

TEST(Directory, RefusesTheRest) {
  for (const std::string& value :
       {std::string(), std::string("scratch"), std::string("~/x"), std::string("file://host/x"),
        std::string("ftp://bucket"), std::string("gs://"), std::string("gs:///x"),
        std::string("/a b"), std::string("/a\nb"), "/" + std::string(5000, 'x')})
    EXPECT_TRUE(ErrorOf(OptionId::kDirectory, value)
                    .starts_with("--checkpoint-dir=" + value + ": accepted is /PATH, file:///PATH"))
        << value;
}

TEST(Keep, TakesWholeNumbersFromOne) {
  Options options;
  ASSERT_TRUE(options.Set(OptionId::kKeep, "3"));
  EXPECT_EQ(options.keep(), 3u);
  for (const char* value : {"", "0", "-1", "x", "1.5", "4294967296"})
    EXPECT_EQ(ErrorOf(OptionId::kKeep, value),
              "--checkpoint-keep=" + std::string(value) + ": accepted is a whole number from 1");
}

TEST(Files, TakesAbsoluteDirectories) {
  for (const char* value : {"/scratch", "/scratch/a:/scratch/b c/", "/a//b", "/a..b"}) {
    Options options;
    ASSERT_TRUE(options.Set(OptionId::kFiles, value)) << value;
    EXPECT_EQ(options.files(), value);
  }
  for (const char* value : {"", "/", "data", "/a:", ":/a", "/a:b", "/a/../b", "/a/.", "/a\n"})
    EXPECT_TRUE(ErrorOf(OptionId::kFiles, value)
                    .starts_with("--checkpoint-files=" + std::string(value) + ": accepted is "))
        << value;
}

TEST(Rollback, TakesAPolicy) {
  for (const char* value : {"auto", "append", "all", "off"}) {
    Options options;
    ASSERT_TRUE(options.Set(OptionId::kRollback, value)) << value;
    EXPECT_EQ(options.rollback(), value);
  }
  EXPECT_EQ(ErrorOf(OptionId::kRollback, "on"),
            "--checkpoint-rollback=on: accepted is auto, append, all or off");
}

TEST(RestoreFrom, TakesAJobOrOneOfItsCheckpoints) {
  for (const char* value : {"4242", "4242:17"}) {
    Options options;
    ASSERT_TRUE(options.Set(OptionId::kRestoreFrom, value)) << value;
    EXPECT_EQ(options.restore_from(), value);
    EXPECT_TRUE(options.enabled());
  }
  for (const char* value : {"", "0", "x", "4242:", "4242:0", ":1", "1:2:3", "4242_1"})
    EXPECT_TRUE(ErrorOf(OptionId::kRestoreFrom, value).starts_with("--restore-from=")) << value;
}

TEST(RestoreFrom, ContradictsOff) {
  Options options;
  ASSERT_TRUE(options.Set(OptionId::kRestoreFrom, "4242"));
  ASSERT_TRUE(options.Set(OptionId::kCheckpoint, "off"));
  const Status status = options.Check();
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().message().find("contradict"), std::string::npos);
}

}  // namespace
}  // namespace holdfast::spank
