#include "pod/signals.h"

#include <gtest/gtest.h>

namespace holdfast::pod {
namespace {

TEST(RelayedSignal, SurvivesTheValue) {
  for (const RelayedSignal relayed :
       {RelayedSignal{SIGUSR1, SignalScope::kScript}, RelayedSignal{SIGTERM, SignalScope::kSteps},
        RelayedSignal{NSIG - 1, SignalScope::kGroup}}) {
    EXPECT_EQ(DecodeRelayedSignal(EncodeRelayedSignal(relayed)), relayed);
  }
}

TEST(RelayedSignal, RefusesOtherValues) {
  for (const int value : {0, NSIG, 0x100, 0x300 | SIGUSR1, -1})
    EXPECT_FALSE(DecodeRelayedSignal({.sival_int = value})) << value;
}

TEST(RelayedSignal, ArrivesByASignalThatProgramsCanQueue) {
  EXPECT_GE(kRelaySignal, SIGRTMIN);
  EXPECT_LE(kRelaySignal, SIGRTMAX);
}

}  // namespace
}  // namespace holdfast::pod
