#include "warden/criu/accept_queues.h"

#include <gtest/gtest.h>

namespace holdfast::warden {
namespace {

TEST(AcceptQueues, AddressesAreReadable) {
  EXPECT_EQ(ReadableAddress("0100007F:1F90"), "127.0.0.1:8080");
  EXPECT_EQ(ReadableAddress("00000000:0016"), "0.0.0.0:22");
  EXPECT_EQ(ReadableAddress("00000000000000000000000001000000:1F90"), "[::1]:8080");
  EXPECT_EQ(ReadableAddress("B80D0120000000000000000001000000:0050"), "[2001:db8::1]:80");
  for (const char* none : {"nonsense", "p100007F:0050", "0100007F:", "0100007F:-1"})
    EXPECT_EQ(ReadableAddress(none), none);
}

}  // namespace
}  // namespace holdfast::warden
