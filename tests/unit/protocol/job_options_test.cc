#include "protocol/job_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"

namespace holdfast {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

Status Set(const char* name, std::string_view value, JobOptions& options) {
  return SetOption(*FindOption(name), value, options);
}

JobOptions Taken(const char* name, std::string_view value) {
  JobOptions options;
  const Status set = Set(name, value, options);
  EXPECT_TRUE(set) << set.error().message();
  return options;
}

std::string Refusal(const char* name, std::string_view value) {
  JobOptions options;
  const Status set = Set(name, value, options);
  EXPECT_EQ(options, JobOptions()) << "a value that is refused changes nothing";
  return set ? "" : set.error().message();
}

// Every option, with a value that is not the site's.
JobOptions Everything() {
  return {.checkpoint = true,
          .interval = Interval{.every = seconds(600)},
          .directory = "gs://bucket/a",
          .keep = 3,
          .restore_from = CheckpointName{.job = 41, .checkpoint = 7},
          .files = {"/scratch/a", "/scratch/b c"},
          .rollback = RollbackPolicy::kAppend,
          .fallback = Fallback::kHold,
          .renewals = 41};
}

TEST(JobOptions, NothingSaidMeansOff) {
  EXPECT_FALSE(JobOptions().enabled());
  EXPECT_TRUE(CheckOptions({}));
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
    const JobOptions options = Taken("checkpoint", c.value);
    EXPECT_EQ(options.enabled(), c.enabled) << c.value;
    EXPECT_EQ(options.interval, c.interval) << c.value;
  }
}

TEST(Checkpoint, TheLastOneCounts) {
  JobOptions options = Taken("checkpoint", "10m");
  ASSERT_TRUE(Set("checkpoint", "off", options));
  EXPECT_FALSE(options.enabled());
  ASSERT_TRUE(Set("checkpoint", "", options));
  EXPECT_TRUE(options.enabled());
  EXPECT_FALSE(options.interval);
}

TEST(Checkpoint, NamesOptionValueAndWhatIsAccepted) {
  for (const std::string value : {"yes", "ON", "0", "0s", "10x", "-5", "1:2:3:4", " "})
    EXPECT_THAT(Refusal("checkpoint", value),
                StartsWith("--checkpoint=" + value + ": accepted is on, off"));
}

TEST(Directory, TakesPathsAndBuckets) {
  for (const char* value :
       {"/scratch/alice", "/", "file:///scratch/alice", "gs://bucket", "gs://bucket/a/b"})
    EXPECT_EQ(Taken("checkpoint-dir", value).directory, value);
}

TEST(Directory, RefusesTheRest) {
  for (const std::string& value :
       {std::string(), std::string("scratch"), std::string("~/x"), std::string("file://host/x"),
        std::string("ftp://bucket"), std::string("gs://"), std::string("gs:///x"),
        std::string("/a\nb"), "/" + std::string(5000, 'x')})
    EXPECT_THAT(Refusal("checkpoint-dir", value),
                StartsWith("--checkpoint-dir=" + value + ": accepted is /PATH, file:///PATH"));
  EXPECT_THAT(CheckOptions(Taken("checkpoint-dir", "/a b")).error().message(),
              StartsWith("--checkpoint-dir=/a b: a blank is not accepted"));
}

TEST(Keep, TakesWholeNumbersFromOne) {
  EXPECT_EQ(Taken("checkpoint-keep", "3").keep, 3u);
  for (const std::string value : {"", "0", "-1", "x", "1.5", "4294967296"})
    EXPECT_EQ(Refusal("checkpoint-keep", value),
              "--checkpoint-keep=" + value + ": accepted is a whole number from 1");
}

TEST(Files, TakesAbsoluteDirectories) {
  EXPECT_THAT(Taken("checkpoint-files", "/scratch").files, ElementsAre("/scratch"));
  EXPECT_THAT(Taken("checkpoint-files", "/scratch/a:/scratch/b c/:/a//b:/a..b").files,
              ElementsAre("/scratch/a", "/scratch/b c", "/a//b", "/a..b"));
  for (const std::string value : {"", "/", "data", "/a:", ":/a", "/a:b", "/a/../b", "/a/.", "/a\n"})
    EXPECT_THAT(Refusal("checkpoint-files", value),
                StartsWith("--checkpoint-files=" + value + ": accepted is "));
}

TEST(Rollback, TakesAPolicy) {
  EXPECT_EQ(Taken("checkpoint-rollback", "auto").rollback, RollbackPolicy::kAuto);
  EXPECT_EQ(Taken("checkpoint-rollback", "append").rollback, RollbackPolicy::kAppend);
  EXPECT_EQ(Taken("checkpoint-rollback", "all").rollback, RollbackPolicy::kAll);
  EXPECT_EQ(Taken("checkpoint-rollback", "off").rollback, RollbackPolicy::kOff);
  EXPECT_EQ(Refusal("checkpoint-rollback", "on"),
            "--checkpoint-rollback=on: accepted is auto, append, all or off");
}

TEST(Fallback, IsSlurmsOrAHold) {
  EXPECT_EQ(Taken("checkpoint-fallback", "slurm").fallback, Fallback::kSlurm);
  EXPECT_EQ(Taken("checkpoint-fallback", "hold").fallback, Fallback::kHold);
  EXPECT_EQ(Refusal("checkpoint-fallback", "requeue"),
            "--checkpoint-fallback=requeue: accepted is slurm or hold");
}

TEST(TimeLimit, IsTheEndOrARequeue) {
  EXPECT_EQ(Taken("checkpoint-timelimit", "end").renewals, 0U);
  EXPECT_EQ(Taken("checkpoint-timelimit", "requeue").renewals, kWithoutEnd);
  EXPECT_EQ(Taken("checkpoint-timelimit", "requeue,42").renewals, 42U);
  for (const JobOptions& options :
       {JobOptions{.renewals = 0}, JobOptions{.renewals = kWithoutEnd}, JobOptions{.renewals = 1}})
    EXPECT_EQ(*DecodeOptions(EncodeOptions(options)), options);
  for (const char* value : {"", "requeue,", "requeue,0", "requeue,x", "requeue42", "4294967295",
                            "requeue,4294967295", "requeue,4294967296"})
    EXPECT_EQ(Refusal("checkpoint-timelimit", value),
              std::string("--checkpoint-timelimit=") + value +
                  ": accepted is end, requeue, or requeue,MAX with a whole number from 1");
}

TEST(RestoreFrom, TakesAJobOrOneOfItsCheckpoints) {
  EXPECT_EQ(Taken("restore-from", "4242").restore_from, CheckpointName{.job = 4242});
  EXPECT_EQ(Taken("restore-from", "4242:17").restore_from,
            (CheckpointName{.job = 4242, .checkpoint = 17}));
  EXPECT_TRUE(Taken("restore-from", "4242").enabled());
  for (const char* value : {"", "0", "x", "4242:", "4242:0", ":1", "1:2:3", "4242_1"})
    EXPECT_THAT(Refusal("restore-from", value), StartsWith("--restore-from="));
}

TEST(RestoreFrom, ContradictsOff) {
  JobOptions options = Taken("restore-from", "4242");
  ASSERT_TRUE(Set("checkpoint", "off", options));
  EXPECT_THAT(CheckOptions(options).error().message(), HasSubstr("contradict"));
}

TEST(OptionsText, ComesBackAsItWas) {
  const JobOptions everything = Everything();
  for (const JobOption& option : JobOptionTable())
    EXPECT_TRUE(option.format(everything)) << option.name << ": missing in Everything()";
  for (const JobOptions& options :
       {JobOptions(), everything, JobOptions{.checkpoint = false}, JobOptions{.checkpoint = true},
        JobOptions{.checkpoint = true, .interval = Interval{.automatic = true}}}) {
    const auto read = DecodeOptions(EncodeOptions(options));
    ASSERT_TRUE(read) << read.error().message();
    EXPECT_EQ(*read, options) << EncodeOptions(options);
  }
  EXPECT_EQ(EncodeOptions(everything),
            "holdfast-options 1\n"
            "checkpoint=600s\n"
            "checkpoint-dir=gs://bucket/a\n"
            "checkpoint-keep=3\n"
            "checkpoint-files=/scratch/a:/scratch/b c\n"
            "checkpoint-rollback=append\n"
            "checkpoint-fallback=hold\n"
            "checkpoint-timelimit=requeue,41\n"
            "restore-from=41:7\n");
}

TEST(OptionsText, NoValueCanAddALine) {
  for (const JobOption& option : JobOptionTable()) {
    const auto value = option.format(Everything());
    JobOptions options;
    EXPECT_FALSE(option.parse(*value + "\ncheckpoint-keep=1", options)) << option.name;
  }
}

TEST(OptionsText, KeepsWhatANewerHoldfastWrote) {
  const std::string text = "holdfast-options 1\ncheckpoint=on\ncheckpoint-moon=full\n";
  const auto options = DecodeOptions(text);
  ASSERT_TRUE(options) << options.error().message();
  EXPECT_TRUE(options->enabled());
  EXPECT_EQ(EncodeOptions(*options), text);
}

TEST(OptionsText, SaysWhatIsWrong) {
  const auto newer = DecodeOptions("holdfast-options 2\n");
  ASSERT_FALSE(newer);
  EXPECT_EQ(newer.error().code(), Code::kUnsupported);
  EXPECT_THAT(newer.error().message(), HasSubstr("begin with 'holdfast-options 2'"));
  EXPECT_FALSE(DecodeOptions(""));
  EXPECT_THAT(DecodeOptions("holdfast-options 1\ncheckpoint\n").error().message(),
              HasSubstr("without '=': checkpoint"));
  EXPECT_THAT(DecodeOptions("holdfast-options 1\ncheckpoint-keep=x\n").error().message(),
              StartsWith("--checkpoint-keep=x: accepted is"));
}

TEST(Documentation, HasEveryOption) {
  const auto readme = ReadFile(HOLDFAST_SOURCE_DIR "/README.md");
  const auto manual = ReadFile(HOLDFAST_SOURCE_DIR "/docs/man/holdfast.1");
  ASSERT_TRUE(readme && manual);
  for (const JobOption& option : JobOptionTable()) {
    std::string usage = option.usage();
    for (size_t bar = 0; (bar = usage.find('|', bar)) != usage.npos; bar += 2)
      usage.insert(bar, 1, '\\');
    EXPECT_THAT(*readme, HasSubstr("| `" + usage + "` | `" + option.environment() + "` |"));
    EXPECT_THAT(*manual, HasSubstr(std::string(".It Fl -") + option.name + " "));
  }
}

}  // namespace
}  // namespace holdfast
