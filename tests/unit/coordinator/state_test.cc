// What becomes of a job, from its start through its checkpoints and its restores.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/coordinator/state_fixture.h"

namespace holdfast::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(StateTest, NothingStartsBeforeAllWardensAreThere) {
  world.StartJob();
  world.Connect(1);
  EXPECT_EQ(world.job.stage, Stage::kGathering);
  EXPECT_THAT(world.wardens[1].inbox, IsEmpty());
  world.Connect(0);
  EXPECT_EQ(world.job.stage, Stage::kPreparing);
  const v1::Welcome& welcome = world.wardens[1].inbox.front().welcome();
  EXPECT_EQ(welcome.restore_job(), 0U);
  EXPECT_EQ(welcome.network().mtu(), 1450U);
  EXPECT_EQ(welcome.network().peers(1).hostname(), "n2");
}

TEST_F(StateTest, NothingRunsBeforeAllPodsAreReady) {
  world.StartJob();
  world.Connect(0);
  world.Connect(1);
  world.Read(0);
  ASSERT_TRUE(world.Hear(0));
  EXPECT_THAT(world.wardens[0].inbox, IsEmpty());
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_TRUE(world.job.started);
}

TEST_F(StateTest, SaveResumes) {
  Run();
  ASSERT_TRUE(Save());
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_THAT(world.committed, ElementsAre(1U));
  EXPECT_THAT(world.job.saved, ElementsAre(1U));
  EXPECT_EQ(world.requeues, 0);
  ASSERT_FALSE(world.history.empty());
  EXPECT_GT(world.history.back().settled_ns, world.history.back().committed_ns);
}

// Warden and coordinator were killed, and the batch step has waited in vain.
TEST_F(StateTest, AJobWhosePodsWereLostIsBroughtBack) {
  Run();
  ASSERT_TRUE(Save());
  world.Settle();
  world.slurm.state = Record::State::kTerminal;
  world.slurm.state_name = "FAILED";
  world.slurm.exit_code = pod::kProcessesLost;
  world.Disconnect(0);
  world.Disconnect(1);
  world.AnswerAsk();
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kLeaving);
  EXPECT_EQ(world.requeues, 1);
}

// Slurm has ended it (scancel, its time limit), and says so before the wardens are missed.
TEST_F(StateTest, ACheckpointThatTheJobDidNotOutliveHasFailed) {
  Run();
  ASSERT_TRUE(Save());
  Reach(Stage::kFreezing);
  world.slurm.state = Record::State::kTerminal;
  world.slurm.state_name = "CANCELLED";
  world.slurm.completing = false;
  world.slurm.asked_ns = world.now;
  ASSERT_TRUE(world.Happen(world.slurm));
  ASSERT_EQ(world.job.stage, Stage::kEnded);
  EXPECT_FALSE(world.job.checkpoint);
  ASSERT_FALSE(world.history.empty());
  EXPECT_EQ(world.history.back().committed_ns, 0);
  EXPECT_EQ(world.history.back().error, "the job ended meanwhile: CANCELLED");
}

TEST_F(StateTest, FailureInAnyPodAbortsAll) {
  Run();
  ASSERT_TRUE(Save());
  ASSERT_TRUE(Fail(1, v1::PHASE_PREPARING, "unsupported", 1));
  EXPECT_EQ(world.job.stage, Stage::kSettling);
  for (const World::Warden& warden : world.wardens) {
    EXPECT_EQ(warden.inbox.back().settle().how(), v1::Settle::ABORT);
    EXPECT_EQ(warden.inbox.back().settle().checkpoint(), 1U);
  }
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_THAT(world.job.last_error, HasSubstr("pod 1 on n2: because of unsupported"));
  EXPECT_EQ(world.comment, world.job.last_error);
  EXPECT_THAT(world.committed, IsEmpty());
}

TEST_F(StateTest, LostWardenWhileFreezingAbortsTheOthers) {
  Run();
  ASSERT_TRUE(Save());
  world.Disconnect(1);
  EXPECT_EQ(world.wardens[0].inbox.back().settle().how(), v1::Settle::ABORT);
  world.Settle();  // it comes back
  EXPECT_EQ(world.job.stage, Stage::kRunning);
}

TEST_F(StateTest, FailedCommitAborts) {
  Run();
  ASSERT_TRUE(Save());
  Reach(Stage::kCommitting);
  world.Read(0, World::Fault::kCommit);
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_THAT(world.committed, IsEmpty());
}

TEST_F(StateTest, CoordinatorDiesBeforeTheCommitWasSeen) {
  Run();
  ASSERT_TRUE(Save(true));
  Reach(Stage::kCommitting);
  while (world.committed.empty()) ASSERT_TRUE(world.Advance());  // the answer is lost
  world.RestartCoordinator();
  world.RunThroughQueue();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
}

TEST_F(StateTest, CoordinatorDiesBeforeTheCommitArrives) {
  Run();
  ASSERT_TRUE(Save(true));
  Reach(Stage::kCommitting);
  world.RestartCoordinator();
  world.Connect(1);
  EXPECT_EQ(world.job.stage, Stage::kCommitting) << "pod 0 may have committed";
  world.RunThroughQueue();
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
}

TEST_F(StateTest, CoordinatorDiesWhileFreezing) {
  Run();
  ASSERT_TRUE(Save());
  world.Read(0);
  world.Read(1);
  world.RestartCoordinator();
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_THAT(world.committed, ElementsAre(1U));
}

TEST_F(StateTest, PodThatGaveUpWaitingAbortsAnUncommittedCommit) {
  Run();
  ASSERT_TRUE(Save());
  Reach(Stage::kCommitting);
  world.RestartCoordinator();
  world.wardens[1].phase = v1::PHASE_RUNNING;
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_THAT(world.committed, IsEmpty());
  EXPECT_EQ(world.wardens[0].phase, v1::PHASE_RUNNING);
}

TEST_F(StateTest, LostWardenWithACheckpointIsRestoredElsewhere) {
  Run();
  ASSERT_TRUE(Save());
  world.Settle();
  world.wardens[1].alive = false;
  world.Disconnect(1);
  world.Settle();
  world.Fire(TimerKind::kReconnect);
  world.RunThroughQueue();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
}

TEST_F(StateTest, LostWardenWithoutACheckpointLetsTheScriptStartOver) {
  Run();
  world.wardens[1].alive = false;
  world.Disconnect(1);
  world.Fire(TimerKind::kReconnect);
  world.AnswerAsk();
  EXPECT_EQ(world.job.stage, Stage::kLeaving);
  world.RunThroughQueue();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.start.restore_job, 0U);
  EXPECT_THAT(world.job.start.note, HasSubstr("its script starts over"));
}

TEST_F(StateTest, LostWardenWithoutACheckpointEndsAJobThatMayNotStartOver) {
  world.slurm.requeue = false;
  Run();
  world.wardens[1].alive = false;
  world.Disconnect(1);
  world.Fire(TimerKind::kReconnect);
  world.AnswerAsk();
  EXPECT_EQ(world.job.stage, Stage::kEnding);
  EXPECT_TRUE(world.wardens[0].inbox.back().has_refuse());
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kEnded);
}

TEST_F(StateTest, ReconnectingWardenOfARunningJobChangesNothing) {
  Run();
  world.Disconnect(1);
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_FALSE(world.timers.contains(TimerKind::kReconnect));
  ASSERT_TRUE(Save());
}

TEST_F(StateTest, DamagedManifestIsNamedAndTheCheckpointBeforeItRestored) {
  Run();
  ASSERT_TRUE(Save());
  world.Settle();
  ASSERT_TRUE(Save());
  world.Settle();
  world.committed = {1};
  world.damaged = {{2, "manifest-000002.h5: not authentic"}};
  world.slurm.state = Record::State::kPending;
  ++world.slurm.restart_count;
  world.slurm.completing = true;
  world.KillPods();
  world.slurm.asked_ns = world.now;
  ASSERT_TRUE(world.Happen(world.slurm));
  world.RunThroughQueue();
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
  EXPECT_THAT(world.job.bad, ElementsAre(2U));
  EXPECT_EQ(world.job.last_error, "checkpoint 2: manifest-000002.h5: not authentic");
  ASSERT_TRUE(Save());
  EXPECT_EQ(world.job.checkpoint->number, 3U) << "its number is not used again";
}

TEST_F(StateTest, RequeuedWithoutACheckpointItIsHeldIfItsUserSaysSo) {
  world.options.fallback = Fallback::kHold;
  Run();
  world.slurm.state = Record::State::kPending;
  ++world.slurm.restart_count;
  world.slurm.completing = true;
  world.KillPods();
  world.Clean();
  world.slurm.asked_ns = world.now;
  ASSERT_TRUE(world.Happen(world.slurm));
  // What is left of it on its node has its time to go.
  world.now += std::chrono::nanoseconds(world.policy.step_end).count();
  world.Fire(TimerKind::kAsk);
  world.AnswerAsk();
  EXPECT_EQ(world.job.stage, Stage::kHeld);
  EXPECT_THAT(world.comment, HasSubstr("requeued before it could be saved"));
  EXPECT_THAT(world.comment, HasSubstr("--from-start"));

  ASSERT_TRUE(world.Happen(Resume{.from_start = true}));
  EXPECT_FALSE(world.slurm.held);
  world.StartJob();
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.comment, "");
}

TEST_F(StateTest, RestoreFromAnotherJob) {
  world.StartJob();
  world.options.restore_from = CheckpointName{.job = 41, .checkpoint = 3};
  v1::Hello hello = world.HelloOf(0);
  world.wardens[0].connected = world.wardens[1].connected = true;
  ASSERT_TRUE(world.Happen(hello, 0));
  hello.set_pod(1);
  ASSERT_TRUE(world.Happen(hello, 1));
  const v1::Welcome& welcome = world.wardens[0].inbox.front().welcome();
  EXPECT_EQ(welcome.restore_job(), 41U);
  EXPECT_EQ(welcome.restore_checkpoint(), 3U);
  EXPECT_EQ(welcome.network().peers(0).hostname(), "") << "only the manifest knows";
}

TEST_F(StateTest, OptionsThatCannotBeReadAreRefused) {
  world.StartJob();
  v1::Hello hello = world.HelloOf(0);
  hello.set_job_options("holdfast-options 1\ncheckpoint-keep=many\n");
  const Status said = world.Happen(hello, 0);
  ASSERT_FALSE(said);
  EXPECT_THAT(said.error().message(), HasSubstr("--checkpoint-keep=many: accepted is"));
}

TEST_F(StateTest, CheckpointsOfAnEarlierJobWithTheSameIdAreNotTouched) {
  world.committed = {4, 5};
  Run();
  EXPECT_EQ(world.job.start.restore_job, 0U);
  EXPECT_EQ(world.job.newest(), 0U);
  ASSERT_TRUE(Save());
  world.Settle();
  EXPECT_THAT(world.job.saved, ElementsAre(6U));
}

TEST_F(StateTest, SaveWithStopHolds) {
  Run();
  ASSERT_TRUE(world.Happen(Wish{.reason = Reason::kSave, .stop = true, .hold = true}));
  world.RunThroughQueue();
  EXPECT_EQ(world.job.stage, Stage::kHeld);
  EXPECT_EQ(world.comment, "saved as checkpoint 1 and held; next: holdfast resume 7");
  world.slurm.excluded = {"n9"};  // the user's, and no record has come since
  ASSERT_TRUE(world.Happen(Resume{}));
  EXPECT_THAT(world.slurm.excluded, ElementsAre("n9"));
  world.StartJob();
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
}

TEST_F(StateTest, ReleasedUntilSlurmSaysSo) {
  Run();
  ASSERT_TRUE(world.Happen(Wish{.reason = Reason::kSave, .stop = true, .hold = true}));
  world.RunThroughQueue();
  ASSERT_TRUE(world.Happen(Resume{}));
  for (int i = 0; i < 2; ++i) {
    world.slurm.held = true;  // it did not answer
    world.slurm.asked_ns = world.now;
    ASSERT_TRUE(world.Happen(world.slurm));
    EXPECT_FALSE(world.slurm.held);
  }
  world.slurm.asked_ns = world.now;
  ASSERT_TRUE(world.Happen(world.slurm));
  world.slurm.held = true;  // by its user, afterwards
  world.slurm.asked_ns = world.now;
  ASSERT_TRUE(world.Happen(world.slurm));
  EXPECT_TRUE(world.slurm.held);
}

TEST_F(StateTest, ReleasedByScontrolIsFollowed) {
  Run();
  ASSERT_TRUE(world.Happen(Wish{.reason = Reason::kSave, .stop = true, .hold = true}));
  world.RunThroughQueue();
  world.slurm.held = false;
  world.slurm.asked_ns = world.now;
  ASSERT_TRUE(world.Happen(world.slurm));
  EXPECT_EQ(world.job.stage, Stage::kWaiting);
}

TEST_F(StateTest, WishesThatCannotBeGrantedSayWhy) {
  world.StartJob();
  world.Connect(0);
  EXPECT_THAT(Save().error().message(), HasSubstr("not started"));
  world.Settle();
  ASSERT_TRUE(Save());
  const Job before = world.job;
  EXPECT_THAT(Save().error().message(), HasSubstr("checkpoint 1 (save) is in progress"));
  EXPECT_EQ(world.job.checkpoint->number, before.checkpoint->number);
}

// Whatever an interval's checkpoint is about to do, a user need not wait to ask for more.
TEST_F(StateTest, AWishTakesTheCheckpointOfAnInterval) {
  const auto due = [this] { return world.Happen(Wish{.reason = Reason::kInterval}); };
  Run();
  ASSERT_TRUE(due());
  ASSERT_TRUE(Save());
  EXPECT_EQ(world.job.checkpoint->reason, Reason::kSave);
  EXPECT_THAT(Save().error().message(), HasSubstr("checkpoint 1 (save) is in progress"));
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_THAT(world.committed, ElementsAre(1U));
  ASSERT_TRUE(due());
  EXPECT_FALSE(due());
  ASSERT_TRUE(world.Happen(Wish{.reason = Reason::kMigrate, .stop = true, .excluded = {"n1"}}));
  world.RunThroughQueue();
  EXPECT_EQ(world.job.start.restore_checkpoint, 2U);
  EXPECT_THAT(world.committed, ElementsAre(1U, 2U));
}

TEST_F(StateTest, UnknownPairsAreRejected) {
  Run();
  v1::Committed committed;
  const Status posted = world.Happen(committed, 0);
  ASSERT_FALSE(posted);
  EXPECT_EQ(posted.error().message(), "job 7 is running: no committed is expected");
  EXPECT_FALSE(world.Happen(v1::Ready(), 9)) << "there is no pod 9";
}

TEST_F(StateTest, IntervalSavesAgainAndAgain) {
  world.StartJob();
  world.options.interval = Interval{.every = std::chrono::seconds(60)};
  for (uint32_t pod = 0; pod < 2; ++pod) world.Connect(pod);
  world.Settle();
  for (int i = 0; i < 3; ++i) {
    world.Fire(TimerKind::kInterval);
    world.Settle();
  }
  EXPECT_THAT(world.committed, ElementsAre(1U, 2U, 3U));
}

}  // namespace
}  // namespace holdfast::coordinator
