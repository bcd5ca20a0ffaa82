#include "protocol/munge.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace holdfast::protocol {
namespace {

TEST(Munge, NoncesDiffer) {
  EXPECT_EQ(MakeNonce().size(), 64u);
  EXPECT_NE(MakeNonce(), MakeNonce());
}

TEST(Munge, GarbageIsRefused) {
  const auto credential = Unseal("MUNGE:garbage:");
  ASSERT_FALSE(credential);
  EXPECT_TRUE(credential.error().code() == Code::kDenied ||
              credential.error().code() == Code::kUnavailable)
      << credential.error().message();
}

TEST(Munge, CredentialIsGoodOnceForItsPurpose) {
  const auto sealed = Seal("purpose");
  if (!sealed) GTEST_SKIP() << sealed.error().message();
  EXPECT_TRUE(Verify(*sealed, ::geteuid(), "purpose"));
  EXPECT_EQ(Verify(*sealed, ::geteuid(), "purpose").error().code(), Code::kDenied) << "replayed";
  EXPECT_EQ(Verify(*Seal("purpose"), ::geteuid(), "other").error().code(), Code::kDenied);
  EXPECT_EQ(Verify(*Seal("purpose"), ::geteuid() + 1, "purpose").error().code(), Code::kDenied);
}

}  // namespace
}  // namespace holdfast::protocol
