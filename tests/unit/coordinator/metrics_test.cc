#include "coordinator/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include "base/files.h"

namespace holdfast::coordinator {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kSecond = 1'000'000'000;

TEST(MetricsTest, CountersHaveTheirLabelsInTheTablesOrder) {
  Metrics metrics;
  metrics.Add(Metric::kCheckpoints, {"interval", "committed"});
  metrics.Add(Metric::kCheckpoints, {"interval", "committed"});
  metrics.Add(Metric::kCheckpoints, {"preemption", "timeout"});
  EXPECT_THAT(
      metrics.Text(),
      AllOf(HasSubstr("# TYPE holdfast_checkpoints_total counter\n"
                      "holdfast_checkpoints_total{reason=\"interval\",outcome=\"committed\"} 2\n"
                      "holdfast_checkpoints_total{reason=\"preemption\",outcome=\"timeout\"} 1\n"),
            // What nothing is known of yet.
            HasSubstr("\nholdfast_wardens 0\n"), HasSubstr("\nholdfast_restore_seconds_count 0\n"),
            Not(HasSubstr("\nholdfast_move_seconds_count"))));
}

TEST(MetricsTest, AHistogramsBucketsAreCumulative) {
  Metrics metrics;
  for (const double seconds : {0.05, 0.2, 0.2, 1000.0})
    metrics.Observe(Metric::kFrozen, std::chrono::duration<double>(seconds));
  EXPECT_THAT(metrics.Text(), AllOf(HasSubstr("frozen_seconds_bucket{le=\"0.05\"} 1\n"),
                                    HasSubstr("frozen_seconds_bucket{le=\"0.1\"} 1\n"),
                                    HasSubstr("frozen_seconds_bucket{le=\"0.25\"} 3\n"),
                                    HasSubstr("frozen_seconds_bucket{le=\"600\"} 3\n"),
                                    HasSubstr("frozen_seconds_bucket{le=\"+Inf\"} 4\n"),
                                    HasSubstr("frozen_seconds_sum 1000.45\n"),
                                    HasSubstr("frozen_seconds_count 4\n")));
}

TEST(MetricsTest, ValuesOfLabelsAreQuoted) {
  Metrics metrics;
  metrics.Set(Metric::kBuild, 1, {"a\"b\\c\nd", "1"});
  EXPECT_THAT(metrics.Text(), HasSubstr("{version=\"a\\\"b\\\\c\\nd\",protocol=\"1\"} 1\n"));
}

TEST(MetricsTest, ACheckpointIsCountedOnceHoweverOftenItIsSaved) {
  Metrics metrics;
  Checkpoint checkpoint{.number = 1, .reason = Reason::kSpot, .begun_ns = kSecond};
  metrics.Note(SaveCheckpoint{checkpoint});
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("outcome=")));
  checkpoint.committed_ns = 4 * kSecond;
  checkpoint.frozen_ns = kSecond / 2;
  checkpoint.raw_bytes = 1000;
  checkpoint.stored_bytes = 10;
  metrics.Note(SaveCheckpoint{checkpoint});
  checkpoint.settled_ns = 5 * kSecond;
  metrics.Note(SaveCheckpoint{checkpoint});
  EXPECT_THAT(metrics.Text(),
              AllOf(HasSubstr("checkpoints_total{reason=\"spot\",outcome=\"committed\"} 1\n"),
                    HasSubstr("safe_seconds_sum{reason=\"spot\"} 3\n"),
                    HasSubstr("frozen_seconds_sum 0.5\n"), HasSubstr("data_bytes_total 1000\n"),
                    HasSubstr("stored_bytes_total 10\n")));
}

TEST(MetricsTest, AFailedCheckpointIsCountedByItsCode) {
  Metrics metrics;
  Checkpoint checkpoint{.reason = Reason::kSave, .error = "disk full", .code = "no-space"};
  metrics.Note(SaveCheckpoint{checkpoint});
  checkpoint.settled_ns = 1;
  metrics.Note(SaveCheckpoint{checkpoint});
  EXPECT_THAT(metrics.Text(),
              AllOf(HasSubstr("{reason=\"save\",outcome=\"no-space\"} 1\n"),
                    HasSubstr("frozen_seconds_count 0\n"), HasSubstr("data_bytes_total 0\n")));
}

TEST(MetricsTest, AMoveIsMeasuredWhenItsJobRunsAgain) {
  Metrics metrics;
  Move move{.checkpoint = 3, .reason = Reason::kPreemption, .left_ns = 1 * kSecond};
  move.requeued_ns = 2 * kSecond;
  move.chosen_ns = 12 * kSecond;
  move.restored_ns = 15 * kSecond;
  metrics.Note(SaveMove{move});
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("move_seconds_count{")));
  move.running_ns = 16 * kSecond;
  metrics.Note(SaveMove{move});
  EXPECT_THAT(metrics.Text(), AllOf(HasSubstr("move_seconds_sum{reason=\"preemption\"} 15\n"),
                                    HasSubstr("move_pending_seconds_sum 10\n"),
                                    HasSubstr("restore_seconds_sum 3\n")));
  // It started over: nothing was restored.
  move.checkpoint = 0;
  metrics.Note(SaveMove{move});
  EXPECT_THAT(metrics.Text(), HasSubstr("restore_seconds_count 1\n"));
}

// What people are given to work with, held to what there is.

std::string Page(const std::string& name) {
  const auto page = ReadFile(HOLDFAST_SOURCE_DIR "/docs/operations/" + name);
  EXPECT_TRUE(page) << name;
  return page.value_or("");
}

// Every figure's name, a histogram's with its three endings.
std::set<std::string> Names() {
  std::set<std::string> names;
  std::istringstream text(Metrics().Text());
  for (std::string hash, word, name, type, line; std::getline(text, line);) {
    std::istringstream words(line);
    if (!(words >> hash >> word >> name >> type) || word != "TYPE") continue;
    if (type != "histogram") names.insert(name);
    if (type == "histogram")
      for (const char* ending : {"_bucket", "_sum", "_count"}) names.insert(name + ending);
  }
  return names;
}

// Those in a text that are Holdfast's, or of its process.
std::set<std::string> NamesIn(const std::string& text) {
  static const std::regex kName(R"(\b(holdfast|process)_[a-z_]+\b)");
  std::set<std::string> names;
  for (std::sregex_iterator found(text.begin(), text.end(), kName), end; found != end; ++found)
    names.insert(found->str());
  return names;
}

TEST(MetricsTest, ThePageHasThemAllAsTheyAre) {
  EXPECT_EQ(Page("metrics.md"), Metrics::Reference())
      << "cmake --build ... --target metrics_reference";
}

TEST(MetricsTest, DashboardAndAlertsAskForWhatThereIs) {
  const std::set<std::string> names = Names();
  for (const char* file : {"monitoring/dashboard.json", "monitoring/alerts.yaml"}) {
    const std::set<std::string> asked = NamesIn(Page(file));
    EXPECT_GT(asked.size(), 5U) << file;
    for (const std::string& name : asked) EXPECT_TRUE(names.contains(name)) << file << ": " << name;
  }
}

TEST(MetricsTest, EveryPanelOfTheDashboardHasAPlaceAndAQuestion) {
  const auto dashboard = nlohmann::json::parse(Page("monitoring/dashboard.json"), nullptr, false);
  ASSERT_TRUE(dashboard.is_object());
  std::set<std::string> titles;
  for (const auto& panel : dashboard["panels"]) {
    const std::string title = panel["title"];
    EXPECT_TRUE(titles.insert(title).second) << title;
    EXPECT_LE(panel["gridPos"]["x"].get<int>() + panel["gridPos"]["w"].get<int>(), 24) << title;
    ASSERT_FALSE(panel["targets"].empty()) << title;
    for (const auto& target : panel["targets"]) EXPECT_NE(target["expr"], "") << title;
  }
  EXPECT_GT(titles.size(), 8U);
}

}  // namespace
}  // namespace holdfast::coordinator
