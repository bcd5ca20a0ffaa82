#include "pod/signals.h"

#include <gtest/gtest.h>

namespace holdfast::pod {
namespace {

TEST(RelayedSignal, SurvivesTheValue) {
  for (const RelayedSignal relayed : {RelayedSignal{SIGUSR1, true}, RelayedSignal{SIGTERM, false},
                                      RelayedSignal{NSIG - 1, true}}) {
    EXPECT_EQ(DecodeRelayedSignal(EncodeRelayedSignal(relayed)), relayed);
  }
}

TEST(RelayedSignal, RefusesOtherValues) {
  for (const int value : {0, NSIG, 0x100, 0x200 | SIGUSR1, -1})
    EXPECT_FALSE(DecodeRelayedSignal({.sival_int = value})) << value;
}

TEST(RelayedSignal, ArrivesByASignalThatProgramsCanQueue) {
  EXPECT_GE(kRelaySignal, SIGRTMIN);
  EXPECT_LE(kRelaySignal, SIGRTMAX);
}

}  // namespace
}  // namespace holdfast::pod
