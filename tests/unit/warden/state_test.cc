#include "warden/loop/state.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace holdfast::warden {
namespace {

const std::vector<State> kStates = [] {
  std::vector<State> states;
  for (int i = 0; i <= static_cast<int>(State::kEnded); ++i)
    states.push_back(static_cast<State>(i));
  return states;
}();

// The state after these inputs; every one must be known where it comes.
State After(State state, const std::vector<Input>& inputs) {
  for (const Input input : inputs) {
    const auto step = Next(state, input);
    EXPECT_TRUE(step) << Name(input) << " while " << Name(state);
    if (step) state = step->next;
  }
  return state;
}

TEST(State, LifeOfAJob) {
  EXPECT_EQ(After(State::kAttaching, {Input::kWelcome, Input::kDone, Input::kStart, Input::kDone}),
            State::kRunning);
  EXPECT_EQ(After(State::kRunning, {Input::kExited, Input::kWelcome}), State::kEnded);
}

TEST(State, LifeOfACheckpoint) {
  const State prepared = After(State::kRunning, {Input::kPrepare, Input::kDone});
  EXPECT_EQ(prepared, State::kPrepared);
  EXPECT_EQ(After(prepared, {Input::kCommit, Input::kDone, Input::kConfirm, Input::kDone,
                             Input::kSettleResume, Input::kDone}),
            State::kRunning);
  EXPECT_EQ(After(prepared, {Input::kCommit, Input::kDone, Input::kSettleAbort, Input::kDone}),
            State::kRunning);
  EXPECT_EQ(After(prepared, {Input::kSettleRelease, Input::kDone}), State::kReleased);
  EXPECT_EQ(After(prepared, {Input::kSettleAbort, Input::kDone}), State::kRunning);
  EXPECT_EQ(After(prepared, {Input::kCommit, Input::kFailed, Input::kSettleAbort, Input::kDone}),
            State::kRunning);
}

TEST(State, AFailedSaveLeavesTheJobRunning) {
  const auto step = Next(State::kSaving, Input::kFailed);
  ASSERT_TRUE(step);
  EXPECT_EQ(step->next, State::kRunning);
  EXPECT_EQ(step->action, Action::kSayFailed);
}

TEST(State, ADamagedPodIsTheCoordinatorsToDecideOn) {
  for (const State state :
       {State::kReady, State::kRunning, State::kPrepared, State::kStored, State::kCommitted}) {
    const auto step = Next(state, Input::kDamaged);
    ASSERT_TRUE(step);
    EXPECT_EQ(step->next, State::kUnusable);
    EXPECT_EQ(step->action, Action::kSayDamaged);
  }
}

TEST(State, AnAbortDuringTheSaveTakesEffectWhenItIsDone) {
  const State aborting = After(State::kRunning, {Input::kPrepare, Input::kSettleAbort});
  const auto done = Next(aborting, Input::kDone);
  ASSERT_TRUE(done);
  EXPECT_EQ(done->action, Action::kResumeAbort);
  EXPECT_EQ(After(aborting, {Input::kDone, Input::kDone}), State::kRunning);
  EXPECT_EQ(Next(aborting, Input::kFailed)->action, Action::kSaySettled);
}

// What may have been committed is only dropped on the coordinator's word, never on a guess.
TEST(State, OnlyAnAbortDropsWhatWasSaved) {
  for (const State state : kStates)
    for (int i = 0; i <= static_cast<int>(Input::kPatienceOver); ++i) {
      const Input input = static_cast<Input>(i);
      const auto step = Next(state, input);
      if (step && step->action == Action::kResumeAbort) {
        EXPECT_TRUE(input == Input::kSettleAbort || state == State::kAborting);
      }
    }
  EXPECT_FALSE(Next(State::kCommitted, Input::kSettleAbort));
  EXPECT_EQ(Next(State::kPrepared, Input::kPatienceOver)->action, Action::kResume);
}

// A frozen pod is killed on RELEASE alone.
TEST(State, OnlyAReleaseKills) {
  for (const State state : kStates)
    for (int i = 0; i <= static_cast<int>(Input::kPatienceOver); ++i) {
      const auto step = Next(state, static_cast<Input>(i));
      if (step && step->action == Action::kRelease) {
        EXPECT_EQ(static_cast<Input>(i), Input::kSettleRelease) << Name(state);
      }
    }
}

TEST(State, EveryVerdictIsAnsweredWhenSaidAgain) {
  EXPECT_EQ(Next(State::kRunning, Input::kSettleResume)->action, Action::kSaySettled);
  EXPECT_EQ(Next(State::kRunning, Input::kSettleAbort)->action, Action::kSaySettled);
  EXPECT_EQ(Next(State::kReleased, Input::kSettleRelease)->action, Action::kSaySettled);
  EXPECT_EQ(Next(State::kCommitted, Input::kCommit)->action, Action::kSayCommitted);
  EXPECT_EQ(Next(State::kRunning, Input::kStart)->action, Action::kSayRunning);
}

TEST(State, AReconnectChangesNoState) {
  for (const State state : kStates) {
    if (state == State::kAttaching || !PhaseOf(state)) continue;
    const auto step = Next(state, Input::kWelcome);
    ASSERT_TRUE(step) << Name(state);
    EXPECT_EQ(step->next, state);
  }
}

TEST(State, EveryOperationMayEndEitherWay) {
  for (const State state :
       {State::kCreating, State::kStarting, State::kSaving, State::kAborting, State::kCommitting,
        State::kSealing, State::kResuming, State::kReleasing}) {
    EXPECT_TRUE(Next(state, Input::kDone)) << Name(state);
    EXPECT_TRUE(Next(state, Input::kFailed)) << Name(state);
  }
}

TEST(State, ACommitUnderWayIsNoPhase) {
  EXPECT_FALSE(PhaseOf(State::kCommitting));
  EXPECT_FALSE(PhaseOf(State::kSealing));
  EXPECT_EQ(PhaseOf(State::kStored), v1::PHASE_PREPARED) << "nothing is written yet";
  EXPECT_EQ(PhaseOf(State::kPrepared), v1::PHASE_PREPARED);
  EXPECT_EQ(PhaseOf(State::kCommitted), v1::PHASE_COMMITTED);
}

TEST(State, NamesAreDistinct) {
  std::set<std::string> names;
  for (const State state : kStates) names.insert(Name(state));
  EXPECT_EQ(names.size(), kStates.size());
  EXPECT_STREQ(Name(Input::kPatienceOver), "patience over");
}

}  // namespace
}  // namespace holdfast::warden
