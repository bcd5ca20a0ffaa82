#include "storage/compression.h"

#include "tests/unit/storage/test_job.h"

namespace holdfast::storage {
namespace {

using std::chrono::nanoseconds;

// How many of 320 questions are answered with yes.
size_t Count(CompressionGauge& gauge) {
  size_t count = 0;
  for (int i = 0; i < 320; ++i) count += gauge.Worthwhile();
  return count;
}

TEST(CompressionGaugeTest, AsLongAsNothingIsKnownItTries) {
  CompressionGauge gauge;
  EXPECT_EQ(Count(gauge), 320u);
  gauge.Compressed(1000, 500, nanoseconds(1000));
  EXPECT_EQ(Count(gauge), 320u);
}

TEST(CompressionGaugeTest, ASlowDiskIsHelpedByCompression) {
  CompressionGauge gauge;
  gauge.Compressed(1000, 500, nanoseconds(1000));  // 1 ns a byte
  gauge.Written(1000, nanoseconds(3000));          // 3 ns a byte, of which half are saved
  EXPECT_EQ(Count(gauge), 320u);
}

TEST(CompressionGaugeTest, AFastDiskIsNot) {
  CompressionGauge gauge;
  gauge.Compressed(1000, 500, nanoseconds(1000));
  gauge.Written(1000, nanoseconds(1500));
  EXPECT_EQ(Count(gauge), 10u) << "but it is measured now and then";
}

TEST(CompressionGaugeTest, WhatDoesNotShrinkIsNotCompressed) {
  CompressionGauge gauge;
  gauge.Compressed(1000, 1000, nanoseconds(100));
  gauge.Written(1000, nanoseconds(100'000));
  EXPECT_EQ(Count(gauge), 10u);
}

TEST(CompressionGaugeTest, ItFollowsAChange) {
  CompressionGauge gauge;
  for (int i = 0; i < 1000; ++i) {
    gauge.Compressed(1 << 18, 1 << 17, nanoseconds(1 << 18));
    gauge.Written(1 << 18, nanoseconds(1 << 16));
  }
  EXPECT_EQ(Count(gauge), 10u);
  for (int i = 0; i < 1000; ++i) gauge.Written(1 << 18, nanoseconds(1 << 20));  // now it is slow
  EXPECT_EQ(Count(gauge), 320u);
}

TEST(CompressorTest, LevelsAndWhatGainsTooLittle) {
  CompressionGauge gauge;
  const Bytes random = RandomBytes(kExtentBytes, 1);
  Bytes text(kExtentBytes);
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<std::byte>(i / 100);
  EXPECT_FALSE(Compressor(0, gauge).Compress(text));
  for (const int level : {1, 9, kCompressionAuto}) {
    Compressor compressor(level, gauge);
    EXPECT_FALSE(compressor.Compress(random));
    const auto compressed = compressor.Compress(text);
    ASSERT_TRUE(compressed);
    EXPECT_LT(compressed->size(), text.size() / 10);
    Bytes back(text.size());
    EXPECT_EQ(ZSTD_decompress(back.data(), back.size(), compressed->data(), compressed->size()),
              text.size());
    EXPECT_EQ(back, text);
    EXPECT_FALSE(compressor.Compress(std::span(text).first(7)));
  }
}

}  // namespace
}  // namespace holdfast::storage
