#include "storage/known_blobs.h"

#include <gtest/gtest.h>

#include <cstring>

namespace holdfast::storage {
namespace {

ContentKey Key(uint64_t number) {
  BlockDigest digest{};
  std::memcpy(digest.data(), &number, sizeof number);
  return KeyOf({&digest, 1});
}

BlobRow Row(uint32_t number) {
  return {.pack = number,
          .codec = number % 2 == 0 ? Codec::kRaw : Codec::kZstd,
          .offset = 7ULL * number,
          .stored_bytes = number + 1,
          .raw_bytes = 262144 - number % 1000,
          .digest = {std::byte{static_cast<uint8_t>(number)}}};
}

TEST(KnownBlobsTest, WhatWasAddedIsFoundAsItWas) {
  KnownBlobs known(64 << 20);
  for (uint32_t i = 0; i < 100'000; ++i) known.Add(Key(i), Row(i));
  for (uint32_t i = 0; i < 100'000; ++i) {
    const auto found = known.Find(Key(i));
    ASSERT_TRUE(found) << i;
    EXPECT_EQ(found->pack, i);
    EXPECT_EQ(found->codec, Row(i).codec);
    EXPECT_EQ(found->offset, 7ULL * i);
    EXPECT_EQ(found->stored_bytes, i + 1);
    EXPECT_EQ(found->raw_bytes, Row(i).raw_bytes);
    EXPECT_EQ(found->digest, Row(i).digest);
  }
  EXPECT_FALSE(known.Find(Key(100'000)));
}

TEST(KnownBlobsTest, AnAddedKeyTakesThePlaceOfItself) {
  KnownBlobs known(1 << 20);
  known.Add(Key(1), Row(1));
  known.Add(Key(1), Row(2));
  EXPECT_EQ(known.Find(Key(1))->pack, 2u);
}

TEST(KnownBlobsTest, WhenItIsFullItForgetsOneForEachNewOne) {
  constexpr size_t kLimit = 1 << 20;
  constexpr uint32_t kMany = 200'000;
  KnownBlobs known(kLimit);
  for (uint32_t i = 0; i < kMany; ++i) {
    known.Add(Key(i), Row(i));
    ASSERT_TRUE(known.Find(Key(i))) << "what was added last is there";
    ASSERT_LE(known.size_bytes(), kLimit);
  }
  size_t found = 0;
  for (uint32_t i = 0; i < kMany; ++i) {
    const auto blob = known.Find(Key(i));
    if (!blob) continue;
    ++found;
    EXPECT_EQ(blob->pack, i);
  }
  EXPECT_GT(found, kLimit / 64 / 4);
}

TEST(KnownBlobsTest, NothingIsFoundInAnEmptyOne) { EXPECT_FALSE(KnownBlobs(0).Find(Key(1))); }

}  // namespace
}  // namespace holdfast::storage
