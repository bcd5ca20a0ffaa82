#include "coordinator/rest_token.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/unit/coordinator/tokens.h"

namespace holdfast::coordinator {
namespace {

constexpr int64_t kNow = 1'700'000'000;
const std::string kKey = "0123456789abcdef0123456789abcdef";

std::string FaultOf(const std::string& token, const std::string& key = kKey) {
  const auto read = ReadToken(token, key, kNow);
  return read ? "" : read.error().code;
}

TEST(RestTokenTest, ATokenOfSlurmsIsAccepted) {
  const auto read = ReadToken(MakeToken({"alice", kNow + 10}, kKey), kKey, kNow);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->user, "alice");
  EXPECT_EQ(read->expires, kNow + 10);
  EXPECT_EQ(
      FaultOf(MakeToken({.user = "alice", .expires = kNow + 10, .user_field = "username"}, kKey)),
      "");
}

TEST(RestTokenTest, EachFaultHasItsCode) {
  const std::string good = MakeToken({"alice", kNow + 10}, kKey);
  EXPECT_EQ(FaultOf(""), "token-malformed");
  EXPECT_EQ(FaultOf("rubbish"), "token-malformed");
  EXPECT_EQ(FaultOf("a.b.c"), "token-malformed");
  EXPECT_EQ(FaultOf(good, "another key, of the same length."), "token-signature");
  EXPECT_EQ(FaultOf(good.substr(0, good.rfind('.') + 1)), "token-signature");
  EXPECT_EQ(FaultOf(MakeToken({"alice", kNow - 10}, kKey)), "token-expired");
  EXPECT_EQ(FaultOf(MakeToken({"alice", std::nullopt}, kKey)), "token-no-expiry");
  EXPECT_EQ(FaultOf(MakeToken({"", kNow + 10}, kKey)), "token-no-user");
}

TEST(RestTokenTest, NoOtherAlgorithmIsAccepted) {
  for (const jwt_alg_t algorithm : {JWT_ALG_NONE, JWT_ALG_HS384, JWT_ALG_HS512})
    EXPECT_EQ(FaultOf(MakeToken({"alice", kNow + 10, algorithm}, kKey)), "token-algorithm")
        << algorithm;
  // Signed with nothing, and said to be HS256.
  std::string forged = MakeToken({"root", kNow + 10, JWT_ALG_NONE}, kKey);
  const std::string good = MakeToken({"alice", kNow + 10}, kKey);
  forged = good.substr(0, good.find('.')) + forged.substr(forged.find('.'));
  EXPECT_EQ(FaultOf(forged), "token-signature");
  // Another's claims under a signature of one's own.
  const std::string others = MakeToken({"root", kNow + 10}, "mine");
  const size_t dot = others.find('.');
  forged = good.substr(0, good.find('.')) + others.substr(dot, others.rfind('.') - dot) +
           good.substr(good.rfind('.'));
  EXPECT_EQ(FaultOf(forged), "token-signature");
}

TEST(RestTokenTest, AKeyThatAnybodyMayReadIsNone) {
  const std::string path = ::testing::TempDir() + "/jwt_hs256.key";
  std::ofstream(path) << kKey;
  ::chmod(path.c_str(), 0644);
  EXPECT_FALSE(LoadTokenKey(path));
  ::chmod(path.c_str(), 0640);
  EXPECT_EQ(LoadTokenKey(path).value_or(""), kKey);
  EXPECT_FALSE(LoadTokenKey(path + ".none"));
}

}  // namespace
}  // namespace holdfast::coordinator
