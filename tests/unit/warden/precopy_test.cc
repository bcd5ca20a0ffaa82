#include "warden/loop/precopy.h"

#include <gtest/gtest.h>

namespace holdfast::warden {
namespace {

TEST(PrecopyWorth, TriesLessAndLessWhatIsInVain) {
  PrecopyWorth worth;
  std::string tried;
  for (int checkpoint = 0; checkpoint < 24; ++checkpoint) {
    const bool may = worth.MayTry();
    tried += may ? 'x' : '.';
    worth.Note(may ? storage::PodWriter::Precopied{.stored_bytes = 100, .wasted_bytes = 90}
                   : storage::PodWriter::Precopied{});
  }
  EXPECT_EQ(tried, "x.x..x....x........x....");
}

TEST(PrecopyWorth, TriesAlwaysWhatIsOfUse) {
  PrecopyWorth worth;
  worth.Note({.stored_bytes = 100, .wasted_bytes = 90});
  EXPECT_FALSE(worth.MayTry());
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(worth.MayTry());
    worth.Note({.stored_bytes = 100, .wasted_bytes = 10});
  }
  // Nothing was stored, because nothing had changed.
  worth.Note({});
  EXPECT_TRUE(worth.MayTry());
}

TEST(PrecopyOptions, AreTheSitesLimitsOrTheDeadlines) {
  config::Config config;
  config.checkpoint.precopy_cpu = 10;
  config.checkpoint.precopy_bandwidth_bytes = 1000;
  v1::Precopy request;
  request.set_checkpoint(3);
  const Precopy::Options planned = PrecopyOptionsOf(config, request, 4);
  EXPECT_EQ(planned.checkpoint, 3u);
  EXPECT_GE(planned.limits.threads, 1u);
  EXPECT_LE(planned.limits.threads, 4u);
  EXPECT_GT(planned.limits.cores, 0.0);
  EXPECT_EQ(planned.limits.bytes_per_second, 1000u);
  EXPECT_TRUE(planned.gentle);
  EXPECT_FALSE(planned.limits.deadline);
  request.set_deadline_unix_ms(5000);
  const Precopy::Options urgent = PrecopyOptionsOf(config, request, 4);
  EXPECT_EQ(urgent.limits.threads, 4u);
  EXPECT_EQ(urgent.limits.cores, 0.0);
  EXPECT_EQ(urgent.limits.bytes_per_second, 0u);
  EXPECT_FALSE(urgent.gentle);
  EXPECT_TRUE(urgent.limits.deadline);
  config.checkpoint.precopy_cpu = 0;
  request.clear_deadline_unix_ms();
  EXPECT_EQ(PrecopyOptionsOf(config, request, 4).limits.threads, 0u);
}

}  // namespace
}  // namespace holdfast::warden
