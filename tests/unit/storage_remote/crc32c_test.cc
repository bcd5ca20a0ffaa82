#include "storage/remote/crc32c.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace holdfast::storage::remote {
namespace {

std::vector<std::byte> Bytes(size_t size, auto generate) {
  std::vector<std::byte> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(generate(i));
  return bytes;
}

// RFC 3720, appendix B.4.
TEST(Crc32cTest, GivesTheValuesOfTheStandard) {
  const auto zeros = Bytes(32, [](size_t) { return 0; });
  const auto ones = Bytes(32, [](size_t) { return 0xFF; });
  const auto up = Bytes(32, [](size_t i) { return i; });
  const auto down = Bytes(32, [](size_t i) { return 31 - i; });
  for (const auto extend : {ExtendCrc32c, ExtendCrc32cPortable}) {
    EXPECT_EQ(extend(0, zeros), 0x8A9136AAu);
    EXPECT_EQ(extend(0, ones), 0x62A8AB43u);
    EXPECT_EQ(extend(0, up), 0x46DD794Eu);
    EXPECT_EQ(extend(0, down), 0x113FDB5Cu);
    EXPECT_EQ(extend(0, std::as_bytes(std::span("123456789", 9))), 0xE3069283u);
    EXPECT_EQ(extend(0, {}), 0u);
  }
}

TEST(Crc32cTest, IsTheSameInPiecesAndPutTogether) {
  std::mt19937 random(7);
  const auto data = Bytes(5000, [&](size_t) { return random(); });
  const uint32_t whole = Crc32c(data);
  EXPECT_EQ(whole, ExtendCrc32cPortable(0, data));
  for (const size_t cut : {0u, 1u, 7u, 8u, 4095u, 5000u}) {
    const auto first = std::span(data).first(cut), second = std::span(data).subspan(cut);
    EXPECT_EQ(ExtendCrc32c(Crc32c(first), second), whole) << cut;
    EXPECT_EQ(CombineCrc32c(Crc32c(first), Crc32c(second), second.size()), whole) << cut;
  }
}

TEST(Crc32cTest, IsWrittenAsTheApiDoes) {
  EXPECT_EQ(Crc32cToText(0), "AAAAAA==");
  EXPECT_EQ(Crc32cToText(0xE3069283), "4waSgw==");
}

}  // namespace
}  // namespace holdfast::storage::remote
