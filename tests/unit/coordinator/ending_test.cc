// The end of a job: whether it is one, and what becomes of its checkpoints then.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/coordinator/state_fixture.h"

namespace holdfast::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class EndingTest : public StateTest {
 protected:
  // Its script; the other pod sees that.
  void EndBySignal(int signal) {
    v1::Ended ended;
    ended.set_signal(signal);
    ASSERT_TRUE(world.Happen(ended, 0));
    ASSERT_TRUE(world.Happen(v1::Ended(), 1));
    world.AnswerAsk();
  }
};

TEST_F(EndingTest, ScriptEnds) {
  Run();
  v1::Ended ended;
  ended.set_exit_code(3);
  ASSERT_TRUE(world.Happen(ended, 0));
  ASSERT_TRUE(world.Happen(v1::Ended(), 1));
  EXPECT_TRUE(world.wardens[0].inbox.back().has_finish());
  EXPECT_TRUE(world.wardens[1].inbox.back().has_finish());
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kEnded);
}

TEST_F(EndingTest, AnEndThatALostNodeCausedIsNotTheEnd) {
  Run();
  ASSERT_TRUE(Save());
  world.Settle();
  v1::Ended ended;
  ASSERT_TRUE(world.Happen(ended, 0));  // mpirun ends with 0 when it has lost a daemon
  ASSERT_EQ(world.job.stage, Stage::kRunning);
  ASSERT_TRUE(world.Happen(Lost{}, 1));
  world.AnswerAsk();
  EXPECT_EQ(world.job.stage, Stage::kLeaving);
  EXPECT_EQ(world.requeues, 1);
  EXPECT_THAT(world.job.exclusions.next, ElementsAre("n2"));
  EXPECT_THAT(world.job.last_error, HasSubstr("exit code 0"));
}

TEST_F(EndingTest, NorIsItOfAJobThatWasNeverSavedAndMayStartOver) {
  Run();
  v1::Ended ended;
  ended.set_exit_code(255);
  ASSERT_TRUE(world.Happen(ended, 0));
  ASSERT_EQ(world.job.stage, Stage::kRunning);
  ASSERT_TRUE(world.Happen(Lost{}, 1));
  world.RunThroughQueue();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_THAT(world.note, HasSubstr("starts over"));
}

TEST_F(EndingTest, ItIsOfOneThatMayNot) {
  world.slurm.requeue = false;
  Run();
  ASSERT_TRUE(world.Happen(v1::Ended(), 0));
  EXPECT_EQ(world.job.stage, Stage::kEnding);
}

// Slurm changes nothing of a job that has ended, and RequeueExit would start its script again.
TEST_F(EndingTest, OfOneThatMayNotBeStartedAgainItsPodsEndWhenSlurmHasNotedThat) {
  world.slurm.requeue = false;
  Run();
  ASSERT_TRUE(world.slurm.requeue);
  ASSERT_TRUE(world.Happen(v1::Ended(), 0));
  EXPECT_TRUE(world.wardens[0].inbox.empty());
  EXPECT_FALSE(world.slurm.requeue);
  world.AnswerAsk();
  EXPECT_TRUE(world.wardens[0].inbox.back().has_finish());
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kEnded);
}

TEST_F(EndingTest, AndNotLongAfterIfSlurmIsAway) {
  world.slurm.requeue = false;
  Run();
  ASSERT_TRUE(world.Happen(v1::Ended(), 0));
  world.Fire(TimerKind::kPhase);
  EXPECT_TRUE(world.wardens[0].inbox.back().has_finish());
}

TEST_F(EndingTest, AStartThatIsRefusedBeforeItsPodsAreWelcomedEndsAtOnce) {
  world.slurm.requeue = false;
  Run();
  world.KillPods();
  ++world.slurm.restart_count;
  world.StartJob();
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kEnded);
  EXPECT_THAT(world.job.last_error, HasSubstr("--no-requeue"));
}

TEST_F(EndingTest, WhenAllPodsHaveEndedTheEndIsBelievedAtOnce) {
  Run();
  ASSERT_TRUE(Save());
  world.Settle();
  ASSERT_TRUE(world.Happen(v1::Ended(), 0));
  ASSERT_EQ(world.job.stage, Stage::kRunning);
  ASSERT_TRUE(world.Happen(v1::Ended(), 1));
  world.AnswerAsk();
  EXPECT_EQ(world.job.stage, Stage::kEnding);
}

TEST_F(EndingTest, PodsMayTellOfTheEndInAnyOrder) {
  Run();
  ASSERT_TRUE(Save());
  world.Settle();
  ASSERT_TRUE(world.Happen(v1::Ended(), 1));
  ASSERT_EQ(world.job.stage, Stage::kRunning);
  ASSERT_TRUE(world.Happen(v1::Ended(), 0));
  world.AnswerAsk();
  EXPECT_EQ(world.job.stage, Stage::kEnding);
}

TEST_F(EndingTest, AnEndOfSlurmsDoingIsNotTheScriptsOwn) {
  Run();
  ASSERT_TRUE(Save());
  world.Settle();
  world.Evict(/*cancel=*/false);  // and nobody has seen its record yet
  for (uint32_t pod = 0; pod < 2; ++pod) ASSERT_TRUE(world.Happen(v1::Ended(), pod));
  world.AnswerAsk();
  EXPECT_EQ(world.job.stage, Stage::kEnding);
  EXPECT_FALSE(world.wardens[0].inbox.back().finish().remove_checkpoints());
  world.Clean();
  world.slurm.asked_ns = world.now;
  ASSERT_TRUE(world.Happen(world.slurm));
  world.StartJob();
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
}

// Killed by somebody, or by the SIGTERM that it got in its grace time because it could not be
// saved. Before Slurm has taken note of the script's end, it requeues the job.
TEST_F(EndingTest, OneByASignalIsNotTheScriptsOwnIfSlurmRequeuesTheJobMeanwhile) {
  Run();
  ASSERT_TRUE(Save());
  world.Settle();
  EndBySignal(SIGKILL);
  ASSERT_EQ(world.job.stage, Stage::kEnding);
  world.Evict(/*cancel=*/false);
  world.Clean();
  world.AnswerAsk();
  world.StartJob();
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
}

TEST_F(EndingTest, NorIsOneInAPreemption) {
  Run();
  ASSERT_TRUE(Save());
  world.Settle();
  world.job.start.preemption_seen = true;  // and it could not be saved
  for (uint32_t pod = 0; pod < 2; ++pod) ASSERT_TRUE(world.Happen(v1::Ended(), pod));
  world.AnswerAsk();
  ASSERT_EQ(world.job.stage, Stage::kEnding);
  world.Evict(/*cancel=*/false);
  world.Clean();
  world.AnswerAsk();
  world.StartJob();
  world.Settle();
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
}

TEST_F(EndingTest, OneByASignalIsTheScriptsOwnOnceSlurmSaysSo) {
  Run();
  ASSERT_TRUE(Save());
  world.Settle();
  EndBySignal(SIGSEGV);
  world.Settle();
  ASSERT_EQ(world.job.stage, Stage::kEnded);
  ++world.slurm.restart_count;  // scontrol requeue
  world.ran = false;
  world.StartJob();
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.start.restore_checkpoint, 0U);
}

// RequeueExit, or a person, would have its script started again.
TEST_F(EndingTest, NoRequeueIsSaidToSlurmAgainOnceTheScriptHasEnded) {
  world.slurm.requeue = false;
  Run();
  ASSERT_TRUE(world.slurm.requeue);  // or it could not come back once it is saved
  v1::Ended ended;
  ended.set_exit_code(142);
  ASSERT_TRUE(world.Happen(ended, 0));
  EXPECT_FALSE(world.slurm.requeue);
}

TEST_F(EndingTest, ItsScriptIsNotStartedAgainEvenIfSlurmHasNotHeardThat) {
  world.slurm.requeue = false;
  Run();
  ASSERT_TRUE(Save());
  world.Settle();
  for (uint32_t pod = 0; pod < 2; ++pod) ASSERT_TRUE(world.Happen(v1::Ended(), pod));
  world.Settle();
  ASSERT_EQ(world.job.stage, Stage::kEnded);
  ++world.slurm.restart_count;
  world.ran = false;
  world.StartJob();
  world.Settle();
  EXPECT_FALSE(world.ran);
  EXPECT_TRUE(world.job.start.refused);
}

// PreemptMode=CANCEL with a grace time: Slurm never takes its mark off the job.
TEST_F(EndingTest, PreemptedThatIsLeftOfAnEarlierStartBringsNobodyBack) {
  Run();
  ASSERT_TRUE(Save());
  world.Settle();
  EndBySignal(SIGSEGV);
  ASSERT_EQ(world.job.stage, Stage::kEnding);
  world.slurm.state = Record::State::kTerminal;
  world.slurm.state_name = "PREEMPTED";
  world.KillPods();
  world.AnswerAsk();
  EXPECT_EQ(world.job.stage, Stage::kEnded);
  EXPECT_EQ(world.requeues, 0);
}

TEST_F(EndingTest, PreemptedInThisStartItGoesOnWhateverItsScriptEndedWith) {
  Run();
  ASSERT_TRUE(Save());
  world.Settle();
  EndBySignal(SIGTERM);
  world.slurm.state = Record::State::kTerminal;
  world.slurm.state_name = "PREEMPTED";
  world.slurm.preempt_time = world.slurm.start_time + 5;
  world.KillPods();
  world.AnswerAsk();
  EXPECT_EQ(world.job.stage, Stage::kLeaving);
}

TEST_F(EndingTest, AScriptThatEndsForWantOfAPodIsNotTheEnd) {
  Run();
  ASSERT_TRUE(Save());
  world.Settle();
  v1::Ended killed;
  killed.set_signal(SIGKILL);
  ASSERT_TRUE(world.Happen(killed, 1));
  ASSERT_TRUE(world.Happen(v1::Ended(), 0));
  world.AnswerAsk();
  EXPECT_EQ(world.job.stage, Stage::kLeaving);
}

TEST_F(EndingTest, AnErrorOfAJobThatHasAllItsNodesIsItsEnd) {
  Run();
  ASSERT_TRUE(Save());
  world.Settle();
  v1::Ended ended;
  ended.set_exit_code(3);
  ASSERT_TRUE(world.Happen(ended, 0));
  ASSERT_EQ(world.job.stage, Stage::kRunning);
  world.Fire(TimerKind::kEnd);
  world.AnswerAsk();
  EXPECT_TRUE(world.wardens[0].inbox.back().has_finish());
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kEnded);
}

TEST_F(EndingTest, AfterAGoodEndPodZeroRemovesTheCheckpoints) {
  Run();
  ASSERT_TRUE(Save());
  world.Settle();
  ASSERT_TRUE(world.Happen(v1::Ended(), 0));
  ASSERT_TRUE(world.Happen(v1::Ended(), 1));
  world.AnswerAsk();
  EXPECT_TRUE(world.wardens[0].inbox.back().finish().remove_checkpoints());
  EXPECT_FALSE(world.wardens[1].inbox.back().finish().remove_checkpoints());
  EXPECT_THAT(world.job.saved, IsEmpty());
  world.Settle();
  EXPECT_EQ(KeptFor(world.job, world.policy), std::chrono::seconds(0)) << "and what pod 0 left";
}

TEST_F(EndingTest, AfterADoubtfulEndNothingIsRemoved) {
  Run();
  ASSERT_TRUE(Save());
  world.Settle();
  ASSERT_TRUE(world.Happen(v1::Ended(), 0));  // with 0, but pod 1 never says so
  world.Fire(TimerKind::kEnd);
  world.AnswerAsk();
  ASSERT_FALSE(world.wardens[0].inbox.empty());
  EXPECT_FALSE(world.wardens[0].inbox.back().finish().remove_checkpoints());
  EXPECT_THAT(world.job.saved, ElementsAre(1));
  world.Settle();
  EXPECT_EQ(KeptFor(world.job, world.policy), world.policy.keep_after_failure);
}

class RetentionTest : public StateTest {
 protected:
  void EndBadly() {
    Run();
    ASSERT_TRUE(Save());
    world.Settle();
    v1::Ended ended;
    ended.set_exit_code(3);
    ASSERT_TRUE(world.Happen(ended, 0));
    ASSERT_TRUE(world.Happen(v1::Ended(), 1));
    world.AnswerAsk();
    ASSERT_FALSE(world.wardens[0].inbox.empty());
    EXPECT_FALSE(world.wardens[0].inbox.back().finish().remove_checkpoints());
    world.Settle();
    ASSERT_EQ(world.job.stage, Stage::kEnded);
  }
  std::optional<std::chrono::seconds> KeptFor() const {
    return coordinator::KeptFor(world.job, world.policy);
  }
};

TEST_F(RetentionTest, AFailedJobsCheckpointsStayForATime) {
  world.policy.keep_after_failure = std::chrono::hours(3) + std::chrono::minutes(1);
  EndBadly();
  for (int hour = 0; hour < 3; ++hour) {
    ASSERT_TRUE(world.timers.contains(TimerKind::kKept));
    EXPECT_GT(*KeptFor(), std::chrono::seconds(0));
    world.Fire(TimerKind::kKept);
  }
  EXPECT_EQ(KeptFor(), std::chrono::minutes(1));
  EXPECT_THAT(world.job.saved, ElementsAre(1));
  world.Fire(TimerKind::kKept);
  EXPECT_EQ(KeptFor(), std::chrono::seconds(0));
  EXPECT_FALSE(world.timers.contains(TimerKind::kKept));
  ASSERT_TRUE(world.Happen(Removed{.checkpoints = {}, .all = true}));
  EXPECT_EQ(KeptFor(), std::nullopt);
  EXPECT_THAT(world.job.saved, IsEmpty());
}

TEST_F(RetentionTest, NeitherTheClockNorAnAbsenceLetsThemExpire) {
  world.policy.keep_after_failure = std::chrono::hours(2);
  EndBadly();
  world.now += int64_t{400} * 24 * 3600 * 1'000'000'000;  // a bad time server
  world.RestartCoordinator();
  EXPECT_EQ(KeptFor(), std::chrono::hours(2));
  world.now = 1;
  world.Fire(TimerKind::kKept);
  EXPECT_EQ(KeptFor(), std::chrono::hours(1));
  world.RestartCoordinator();
  EXPECT_EQ(KeptFor(), std::chrono::hours(1)) << "what has been counted is remembered";
  world.Fire(TimerKind::kKept);
  EXPECT_EQ(KeptFor(), std::chrono::seconds(0));
}

// Its script had ended, so this is another run, which no checkpoint of the first belongs to.
TEST_F(RetentionTest, AJobThatIsRequeuedAfterItsEndStartsOver) {
  world.policy.keep_after_failure = std::chrono::hours(1);
  EndBadly();
  world.Fire(TimerKind::kKept);
  EXPECT_EQ(KeptFor(), std::chrono::seconds(0));
  ++world.slurm.restart_count;  // scontrol requeue
  world.ran = false;
  world.StartJob();
  world.Settle();
  ASSERT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.start.restore_checkpoint, 0u);
  EXPECT_EQ(world.job.newest(), 0u);
  EXPECT_EQ(KeptFor(), std::nullopt);
  EXPECT_EQ(world.job.aftermath.kept_seconds, 0u);
}

TEST_F(RetentionTest, OnlyWhatIsOverIsRemovedWhole) {
  Run();
  ASSERT_TRUE(Save());
  world.Settle();
  ASSERT_TRUE(Save());
  world.Settle();
  EXPECT_THAT(world.Happen(Removed{.checkpoints = {}, .all = true}).error().message(),
              HasSubstr("has not ended"));
  ASSERT_TRUE(world.Happen(Removed{.checkpoints = {1}, .all = false}));
  EXPECT_THAT(world.job.saved, ElementsAre(2));
}

}  // namespace
}  // namespace holdfast::coordinator
