#include "cli/view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <time.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

namespace holdfast::cli {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

// Times are shown in the zone of whoever looks.
class ViewTest : public testing::Test {
 protected:
  void SetUp() override {
    ::setenv("TZ", "UTC", 1);
    ::tzset();
  }
};

constexpr int64_t kStart = 1'780'000'000'000'000'000;  // 2026-05-28 20:26:40
constexpr int64_t kMillisecond = 1'000'000;

json Job() {
  return {{"job_id", 4242},
          {"uid", 0},
          {"state", "running"},
          {"nodes", {"n3", "n4"}},
          {"restored_from", {{"job_id", 4242}, {"checkpoint", 3}}},
          {"options", {{"interval_seconds", 600}, {"directory", "/home/a/.holdfast"}, {"keep", 2}}},
          {"excluded_nodes", json::array()},
          {"last_error", ""},
          {"checkpoints",
           {{{"number", 3},
             {"state", "committed"},
             {"reason", "preemption"},
             {"begun_unix_ns", kStart},
             {"commit_ns", 1200 * kMillisecond},
             {"frozen_ns", 250 * kMillisecond},
             {"raw_bytes", 512 << 20},
             {"stored_bytes", 20 << 20},
             {"processes", 6},
             {"error", ""}}}},
          {"moves",
           {{{"number", 1},
             {"reason", "preemption"},
             {"checkpoint", 3},
             {"from", {"n1", "n2"}},
             {"to", {"n3", "n4"}},
             {"left_unix_ns", kStart + 1300 * kMillisecond},
             {"requeue_ns", 400 * kMillisecond},
             {"pending_ns", nullptr},
             {"restore_ns", 600 * kMillisecond},
             {"total_ns", nullptr}}}},
          {"events",
           {{{"name", "cut"},
             {"unix_ns", kStart + 5 * kMillisecond},
             {"duration_ns", 5 * kMillisecond},
             {"pod", 0},
             {"node", "n1"},
             {"detail", ""},
             {"checkpoint", 3}},
            {{"name", "committed"},
             {"unix_ns", kStart + 1200 * kMillisecond},
             {"duration_ns", 0},
             {"pod", nullptr},
             {"node", ""},
             {"detail", "512 MiB"},
             {"checkpoint", 3}}}}};
}

TEST_F(ViewTest, ShowsAJobWhole) {
  EXPECT_EQ(JobText(Job()),
            "job 4242 of root: running on n3,n4\n"
            "  saved       every 10 min 0 s and when needed, the newest 2 kept in "
            "/home/a/.holdfast\n"
            "  restored    from checkpoint 3 of job 4242\n"
            "\n"
            "CHECKPOINT  STATE      REASON      BEGUN                FROZEN  COMMITTED       DATA  "
            "  STORED  PROCESSES  ERROR\n"
            "         3  committed  preemption  2026-05-28 20:26:40  0.25 s     1.20 s  512.0 MiB  "
            "20.0 MiB          6\n"
            "\n"
            "MOVE  REASON      CHECKPOINT  FROM   TO     LEFT                 REQUEUE  PENDING  "
            "RESTORE  TOTAL\n"
            "   1  preemption           3  n1,n2  n3,n4  2026-05-28 20:26:41   0.40 s        -  "
            " 0.60 s      -\n"
            "\n"
            "TIME                     EVENT        TOOK  WHERE        DETAIL\n"
            "2026-05-28 20:26:40.005  cut        0.01 s  pod 0 on n1\n"
            "2026-05-28 20:26:41.200  committed       -  coordinator  512 MiB\n");
}

TEST_F(ViewTest, SaysHowOftenAJobIsSavedAndWhy) {
  json job = Job();
  job["options"]["interval_seconds"] = 0;
  EXPECT_THAT(JobText(job), HasSubstr("  saved       when needed, the newest 2"));
  job["options"]["auto_interval"] = true;
  EXPECT_THAT(JobText(job),
              HasSubstr("  saved       as often as pays, and when needed, the newest"))
      << "while it is not known how often that is";
  job["plan"] = {{"interval_seconds", 1200},      {"basis", "young-daly"},
                 {"why", "auto: because"},        {"to_safe_ns", nullptr},
                 {"to_safe_longest_ns", nullptr}, {"notice_ns", nullptr}};
  EXPECT_THAT(JobText(job),
              HasSubstr("  saved       every 20 min 0 s and when needed, the newest 2"));
  EXPECT_THAT(JobText(job), HasSubstr("  interval    auto: because\n"));
  EXPECT_THAT(JobText(job), Not(HasSubstr("safe in")));
  job["plan"]["to_safe_ns"] = 500 * kMillisecond;
  job["plan"]["to_safe_longest_ns"] = 40'000 * kMillisecond;
  job["plan"]["notice_ns"] = 30'000 * kMillisecond;
  job["plan"]["notice_suffices"] = false;
  EXPECT_THAT(JobText(job),
              HasSubstr("  safe in     0.50 s if it is saved now, 40 s at the end of the interval; "
                        "notice of a node's end is given only 30 s before\n"));
}

TEST_F(ViewTest, SaysThatAScriptIsNotStartedAgain) {
  json job = Job();
  job["requeue"] = true;
  EXPECT_THAT(JobText(job), Not(HasSubstr("never started again")));
  job["requeue"] = false;
  EXPECT_THAT(JobText(job), HasSubstr("  requeue     no: its script is never started again"));
}

TEST_F(ViewTest, ShowsOptionsAsTheyAreGiven) {
  json job = Job();
  job["options"]["checkpoint-fallback"] = "hold";
  job["options"]["checkpoint"] = "600s";
  EXPECT_THAT(JobText(job),
              HasSubstr("  options     --checkpoint=600s --checkpoint-fallback=hold\n"));
}

TEST_F(ViewTest, ShowsWhatIsDoneAboutTheTimeLimit) {
  json job = Job();
  EXPECT_THAT(JobText(job), Not(HasSubstr("time limit")));
  job["time_limit"] = {{"end_unix_ns", 1'700'000'000'000'000'000},
                       {"save_unix_ns", nullptr},
                       {"renewals", 0},
                       {"renewals_most", 0}};
  EXPECT_THAT(JobText(job), Not(HasSubstr("time limit"))) << "it ends there, as any job";
  job["time_limit"]["renewals"] = 3;
  job["time_limit"]["renewals_most"] = 4;
  EXPECT_THAT(JobText(job),
              HasSubstr("  time limit  renewed 3 of 4 times; the present one ends at 2023-11-1"));
  job["time_limit"]["renewals_most"] = nullptr;
  job["time_limit"]["save_unix_ns"] = 1'699'999'000'000'000'000;
  EXPECT_THAT(JobText(job), HasSubstr("renewed 3 times; the present one ends at 2023-11-1"));
  EXPECT_THAT(JobText(job), HasSubstr(", for which it is saved at 2023-11-1"));
}

TEST_F(ViewTest, ShowsTheLastErrorInFull) {
  json job = Job();
  job["last_error"] = "saving checkpoint 4: criu dump failed\ncriu: Error: io_uring";
  EXPECT_THAT(JobText(job), HasSubstr("  last error  saving checkpoint 4: criu dump failed\n"
                                      "              criu: Error: io_uring\n"));
}

TEST_F(ViewTest, KeepsControlCharactersFromTheTerminal) {
  json job = Job();
  job["last_error"] = "file \x1b[2Jx\x07 changed";
  const std::string text = JobText(job);
  EXPECT_THAT(text, HasSubstr("file \\x1b[2Jx\\x07 changed"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

TEST_F(ViewTest, ShowsTheNewestEvents) {
  json job = Job();
  const json event = job["events"][0];
  for (int i = 0; i < 100; ++i) job["events"].push_back(event);
  EXPECT_THAT(JobText(job), HasSubstr("(62 earlier ones: --json)\n"));
}

TEST_F(ViewTest, ListsJobs) {
  EXPECT_EQ(JobListText({{"jobs", json::array()}}),
            "JOB  USER  STATE  CHECKPOINT  MOVES  NODES  LAST ERROR\n");
  const json running{{"job_id", 7},           {"uid", 0},   {"state", "running"},
                     {"checkpoints", {1, 2}}, {"moves", 1}, {"nodes", {"n1", "n2"}},
                     {"last_error", ""}};
  json held = running;
  held["job_id"] = 4242;
  held["state"] = "held";
  held["nodes"] = json::array();
  held["checkpoints"] = json::array();
  held["last_error"] = "no node could restore it\nmore";
  EXPECT_EQ(JobListText({{"jobs", {running, held}}}),
            " JOB  USER  STATE    CHECKPOINT  MOVES  NODES  LAST ERROR\n"
            "   7  root  running           2      1  n1,n2\n"
            "4242  root  held              -      1  -      no node could restore it\n");
}

TEST_F(ViewTest, SaysOfExpiredJobsOnlyWhatThereWasToDo) {
  const auto job = [](int id, int64_t freed_bytes, const char* error) {
    return json{
        {"job_id", id}, {"directory", "/d"}, {"freed_bytes", freed_bytes}, {"error", error}};
  };
  EXPECT_EQ(ExpiredText({{"jobs", {job(1, 0, ""), job(2, 2048, ""), job(3, 0, "denied")}}}),
            "job 2: removed, 2.0 KiB freed in /d\njob 3: not removed: denied\n");
}

TEST_F(ViewTest, WhyHasAWordOnEachAndWhatCanBeDone) {
  const json job = {
      {"job_id", 7},
      {"uid", 4000000},
      {"state", "held"},
      {"nodes", json::array()},
      {"why",
       {{{"about", "saved"},
         {"reason", "save"},
         {"text", "one"},
         {"next", ""},
         {"unix_ns", nullptr}},
        {{"about", "saved"}, {"reason", "x"}, {"text", "two\nlines"}, {"next", "do it"}},
        {{"about", "held"}, {"reason", "hold"}, {"text", "three\x1b"}, {"next", ""}}}}};
  EXPECT_EQ(WhyText(job),
            "job 7 of 4000000: held\n"
            "  saved       one\n"
            "              two\n"
            "              lines\n"
            "              next: do it\n"
            "  held        three\\x1b\n");
}

}  // namespace
}  // namespace holdfast::cli
