#include "coordinator/state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "tests/unit/coordinator/world.h"

namespace holdfast::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class StateTest : public ::testing::Test {
 protected:
  void Run() {
    world.StartJob();
    world.Settle();
    ASSERT_EQ(world.job.stage, Stage::kRunning);
  }
  // Delivers until the stage is reached.
  void Reach(Stage stage) {
    for (int i = 0; i < 100 && world.job.stage != stage; ++i) world.Advance();
    ASSERT_EQ(world.job.stage, stage);
  }
  static v1::Notice Sigterm() {
    v1::Notice notice;
    notice.set_signal(SIGTERM);
    return notice;
  }
  Status Save(bool stop = false) {
    return world.Happen(Wish{.reason = stop ? Reason::kMigrate : Reason::kSave,
                             .stop = stop,
                             .excluded = stop ? world.job.nodes() : std::vector<std::string>{}});
  }
  void Preempt() {
    world.slurm.preempt_time = world.slurm.start_time + 5;
    ASSERT_TRUE(world.Happen(Sigterm(), 0));
    ASSERT_TRUE(world.Happen(Sigterm(), 1));
  }
  Status Fail(uint32_t pod, v1::Phase phase, const std::string& code, uint32_t checkpoint = 0) {
    v1::Failed failed;
    failed.set_phase(phase);
    failed.set_code(code);
    failed.set_message("because of " + code);
    failed.set_checkpoint(checkpoint);
    return world.Happen(failed, pod);
  }
  World world{2};
};

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

TEST_F(StateTest, PreemptionSavesRequeuesAndRestores) {
  Run();
  Preempt();
  world.RunThroughQueue();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
  EXPECT_EQ(world.deliveries, 0) << "the notice is not the job's";
  EXPECT_EQ(world.requeues, 1);
  EXPECT_THAT(world.job.hostnames, ElementsAre("n1", "n2"));
  EXPECT_THAT(world.job.nodes(), ElementsAre("n3", "n4"));
  std::vector<std::string> names;
  for (const TimelineEvent& event : world.events) names.push_back(event.name);
  EXPECT_THAT(names, ElementsAre("nodes", "running", "notice", "prepared", "committed", "released",
                                 "requeued", "nodes", "restored", "running"));
}

TEST_F(StateTest, HeldBySlurmForTooManyRequeuesItIsReleased) {
  Run();
  Preempt();
  world.Settle();
  ASSERT_EQ(world.job.stage, Stage::kLeaving);
  world.slurm.held = world.slurm.requeued_too_often = true;
  world.Vacate();
  EXPECT_EQ(world.job.stage, Stage::kWaiting);
  EXPECT_FALSE(world.slurm.held);
}

TEST_F(StateTest, PreemptedToItsEndItIsBroughtBack) {
  Run();
  Preempt();
  world.Settle();
  ASSERT_EQ(world.requeues, 1);
  world.slurm.state = Record::State::kTerminal;
  world.slurm.state_name = "PREEMPTED";
  world.slurm.completing = false;
  world.Fire(TimerKind::kAsk);
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kLeaving);
  EXPECT_EQ(world.requeues, 2);
}

TEST_F(StateTest, IfSlurmTakesTheEndOfTheReleasedStepForTheJobsItIsBroughtBack) {
  Run();
  Preempt();
  world.Settle();
  ASSERT_EQ(world.requeues, 1);
  world.slurm.state = Record::State::kTerminal;
  world.slurm.state_name = "FAILED";
  world.slurm.restart_count = world.job.start.restart_count;
  world.Clean();
  world.Fire(TimerKind::kAsk);
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kLeaving);
  EXPECT_EQ(world.requeues, 2);
}

TEST_F(StateTest, ARequeueThatSlurmForgetsWhileTheJobIsQueuedIsAskedForAgain) {
  Run();
  Preempt();
  world.Settle();
  world.Vacate();
  ASSERT_EQ(world.job.stage, Stage::kWaiting);
  world.slurm.state = Record::State::kTerminal;
  world.slurm.state_name = "FAILED";
  world.slurm.restart_count = world.job.start.restart_count;
  world.slurm.asked_ns = world.now;
  ASSERT_TRUE(world.Happen(world.slurm));
  EXPECT_EQ(world.job.stage, Stage::kLeaving);
  world.RunThroughQueue();
  EXPECT_EQ(world.requeues, 2);
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
}

// As "Job credential revoked": slurmctld takes it for the job's end.
TEST_F(StateTest, AStartThatSlurmCannotLaunchIsTriedAgain) {
  Run();
  Preempt();
  world.Settle();
  for (uint32_t attempt = 1; attempt < world.policy.restore_attempts; ++attempt) {
    world.slurm.state = Record::State::kTerminal;
    world.slurm.state_name = "FAILED";
    world.slurm.restart_count = world.job.start.restart_count + 1;
    world.Clean();
    world.Fire(TimerKind::kAsk);
    world.Settle();
    EXPECT_EQ(world.job.stage, Stage::kLeaving);
    EXPECT_EQ(world.requeues, 1 + static_cast<int>(attempt));
  }
}

TEST_F(StateTest, TheReleasedStepsEndIsNotTheJobsWhileItIsCompletingEither) {
  Run();
  Preempt();
  world.Settle();
  world.slurm.state = Record::State::kTerminal;
  world.slurm.state_name = "FAILED";
  world.slurm.restart_count = world.job.start.restart_count;
  world.slurm.completing = true;
  world.Fire(TimerKind::kAsk);
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kLeaving);
  world.Clean();
  world.Fire(TimerKind::kAsk);
  world.Settle();
  EXPECT_EQ(world.requeues, 2);
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

TEST_F(StateTest, SigtermThatIsNotPreemptionIsDelivered) {
  Run();
  ASSERT_TRUE(world.Happen(Sigterm(), 0));
  for (uint32_t i = 0; i + 1 < world.policy.notice_lookups; ++i) {
    world.Settle();
    EXPECT_EQ(world.deliveries, 0);
    world.Fire(TimerKind::kNotice);
  }
  world.Settle();
  EXPECT_EQ(world.deliveries, 1);
  EXPECT_THAT(world.committed, IsEmpty());
}

TEST_F(StateTest, CancelledJobGetsItsSigtermAtOnce) {
  Run();
  world.slurm.state = Record::State::kTerminal;
  world.slurm.completing = true;
  ASSERT_TRUE(world.Happen(Sigterm(), 0));
  world.Settle();
  EXPECT_EQ(world.deliveries, 1);
}

TEST_F(StateTest, PreemptTimeOfAnEarlierStartDoesNotCount) {
  Run();
  world.slurm.start_time = 100;
  world.slurm.preempt_time = 50;
  world.slurm.asked_ns = world.now;
  ASSERT_TRUE(world.Happen(world.slurm));
  EXPECT_EQ(world.job.stage, Stage::kRunning);
}

TEST_F(StateTest, PollNoticesPreemptionWithoutASignal) {
  Run();
  world.slurm.preempt_time = world.slurm.start_time;
  world.slurm.asked_ns = world.now;
  ASSERT_TRUE(world.Happen(world.slurm));
  EXPECT_EQ(world.job.stage, Stage::kFreezing);
  EXPECT_TRUE(world.job.checkpoint->stop);
}

TEST_F(StateTest, PreemptionTurnsACheckpointInFlightIntoAStop) {
  Run();
  ASSERT_TRUE(Save());
  Preempt();
  world.AnswerAsk();
  world.RunThroughQueue();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U) << "no second one was taken";
}

TEST_F(StateTest, PreemptionWhileResumingSavesAgain) {
  Run();
  ASSERT_TRUE(Save());
  Reach(Stage::kSettling);
  Preempt();
  world.RunThroughQueue();
  EXPECT_EQ(world.job.start.restore_checkpoint, 2U);
}

TEST_F(StateTest, PreemptionInTheMiddleOfARestore) {
  Run();
  Preempt();
  world.Settle();
  world.Vacate();
  world.StartJob();
  world.slurm.start_time = world.now / 1'000'000'000;
  world.Connect(0);
  world.Connect(1);
  ASSERT_EQ(world.job.stage, Stage::kPreparing);
  Preempt();
  world.AnswerAsk();
  EXPECT_EQ(world.job.stage, Stage::kLeaving);
  world.RunThroughQueue();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
}

TEST_F(StateTest, PreemptedBeforeItRanStartsFresh) {
  world.StartJob();
  world.Connect(0);
  world.Connect(1);
  Preempt();
  world.AnswerAsk();
  world.RunThroughQueue();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.start.restore_job, 0U);
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

class PrecopyTest : public StateTest {
 protected:
  PrecopyTest() { world.policy.precopy = true; }
  bool Asked(uint32_t pod, v1::ToWarden::BodyCase body) {
    const auto& inbox = world.wardens[pod].inbox;
    return !inbox.empty() && inbox.back().body_case() == body;
  }
  static v1::Precopied Precopied(int64_t freeze_by_unix_ms = 0) {
    v1::Precopied precopied;
    precopied.set_checkpoint(1);
    precopied.set_freeze_by_unix_ms(freeze_by_unix_ms);
    return precopied;
  }
  Wish Spot(int64_t seconds) {
    return Wish{.reason = Reason::kSpot,
                .stop = true,
                .deadline_unix_ms = world.now / 1'000'000 + seconds * 1000};
  }
};

TEST_F(PrecopyTest, PodsAreFrozenTogetherWhenAllHaveStoredAhead) {
  Run();
  ASSERT_TRUE(Save());
  EXPECT_EQ(world.job.stage, Stage::kPrecopying);
  world.Read(0);
  ASSERT_TRUE(world.Hear(0));
  EXPECT_EQ(world.job.stage, Stage::kPrecopying);
  EXPECT_TRUE(world.wardens[0].inbox.empty());
  world.Read(1);
  ASSERT_TRUE(world.Hear(1));
  EXPECT_EQ(world.job.stage, Stage::kFreezing);
  EXPECT_TRUE(Asked(0, v1::ToWarden::kPrepare));
  EXPECT_TRUE(Asked(1, v1::ToWarden::kPrepare));
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_THAT(world.committed, ElementsAre(1U));
}

TEST_F(PrecopyTest, OneThatTakesTooLongIsNotWaitedFor) {
  Run();
  ASSERT_TRUE(Save());
  world.Fire(TimerKind::kPhase);
  EXPECT_EQ(world.job.stage, Stage::kFreezing);
  world.Settle();
  EXPECT_THAT(world.committed, ElementsAre(1U));
}

TEST_F(PrecopyTest, PreemptionFreezesAtOnce) {
  Run();
  ASSERT_TRUE(Save());
  Preempt();
  world.AnswerAsk();
  EXPECT_EQ(world.job.stage, Stage::kFreezing);
  EXPECT_TRUE(Asked(0, v1::ToWarden::kPrepare));
  world.RunThroughQueue();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U) << "no second one was taken";
}

TEST_F(PrecopyTest, NothingIsStoredAheadOfAPreemption) {
  Run();
  Preempt();
  world.AnswerAsk();
  EXPECT_EQ(world.job.stage, Stage::kFreezing);
}

TEST_F(PrecopyTest, ADeadlineLeavesTimeForIt) {
  Run();
  ASSERT_TRUE(world.Happen(Spot(120)));
  ASSERT_EQ(world.job.stage, Stage::kPrecopying);
  ASSERT_TRUE(Asked(0, v1::ToWarden::kPrecopy));
  EXPECT_NE(world.wardens[0].inbox.back().precopy().deadline_unix_ms(), 0);
  // Pod 0 has done, and has to be frozen before pod 1 has done.
  ASSERT_TRUE(world.Happen(Precopied(world.now / 1'000'000 + 1), 0));
  ASSERT_EQ(world.job.stage, Stage::kPrecopying);
  world.Fire(TimerKind::kPhase);
  EXPECT_EQ(world.job.stage, Stage::kFreezing);
  world.RunThroughQueue();
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
}

TEST_F(PrecopyTest, SomeOtherWishIsRefusedMeanwhile) {
  Run();
  ASSERT_TRUE(Save());
  const Status second = Save();
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message(), HasSubstr("checkpoint 1 (save) is in progress"));
}

TEST_F(PrecopyTest, ALostWardenEndsIt) {
  Run();
  ASSERT_TRUE(Save());
  world.Disconnect(1);
  EXPECT_EQ(world.wardens[0].inbox.back().settle().how(), v1::Settle::ABORT);
  world.Settle();  // it comes back
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_THAT(world.committed, IsEmpty());
  ASSERT_TRUE(Save());
  world.Settle();
  EXPECT_THAT(world.committed, ElementsAre(2U));
}

TEST_F(PrecopyTest, GoesOnWhenTheCoordinatorComesBack) {
  Run();
  ASSERT_TRUE(Save());
  world.Read(0);
  world.RestartCoordinator();
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_THAT(world.committed, ElementsAre(1U));
}

TEST_F(PrecopyTest, TheEndOfTheScriptEndsItToo) {
  Run();
  ASSERT_TRUE(Save());
  ASSERT_TRUE(world.Happen(v1::Ended{}, 0));
  EXPECT_EQ(world.job.stage, Stage::kEnding);
  EXPECT_FALSE(world.job.checkpoint);
}

TEST_F(StateTest, FailedPreemptionIsTriedOnceMoreThenSignalled) {
  Run();
  Preempt();
  world.AnswerAsk();
  ASSERT_EQ(world.job.stage, Stage::kFreezing);
  ASSERT_TRUE(Fail(0, v1::PHASE_PREPARING, "unsupported", 1));
  world.Settle();
  ASSERT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.deliveries, 0);
  world.Fire(TimerKind::kRetry);
  ASSERT_EQ(world.job.stage, Stage::kFreezing);
  ASSERT_TRUE(Fail(0, v1::PHASE_PREPARING, "unsupported", 2));
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kRunning);
  EXPECT_EQ(world.deliveries, 2) << "each pod that was notified";
  EXPECT_FALSE(world.timers.contains(TimerKind::kRetry));
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

TEST_F(StateTest, RequeueByOthersIsFollowed) {
  Run();
  ASSERT_TRUE(Save());
  world.Settle();
  world.slurm.state = Record::State::kPending;
  ++world.slurm.restart_count;
  world.slurm.completing = true;
  world.KillPods();
  world.slurm.asked_ns = world.now;
  ASSERT_TRUE(world.Happen(world.slurm));
  EXPECT_EQ(world.requeues, 0);
  world.RunThroughQueue();
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
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

class RestoreTest : public StateTest {
 protected:
  void SetUp() override {
    Run();
    ASSERT_TRUE(Save());
    world.Settle();
    ASSERT_TRUE(Save(true));
    world.Settle();
    GoToRestore();
  }
  void GoToRestore() {
    world.Vacate();
    ASSERT_EQ(world.job.stage, Stage::kWaiting);
    world.StartJob();
    world.Connect(0);
    world.Connect(1);
    ASSERT_EQ(world.job.stage, Stage::kPreparing);
  }
};

TEST_F(RestoreTest, ExclusionsAreForOneStartAndKeepTheUsers) {
  EXPECT_THAT(world.slurm.excluded, ElementsAre("n1", "n2"));
  world.Settle();
  ASSERT_EQ(world.job.stage, Stage::kRunning);
  world.slurm.excluded.push_back("n9");  // the user's own, meanwhile
  std::ranges::sort(world.slurm.excluded);
  world.job.exclusions.user = {"n9"};
  world.job.exclusions.set = world.slurm.excluded;
  ASSERT_TRUE(world.Happen(Wish{.reason = Reason::kMigrate, .stop = true, .excluded = {"n3"}}));
  world.Settle();
  world.Vacate();
  EXPECT_THAT(world.slurm.excluded, ElementsAre("n3", "n9"));
}

TEST_F(RestoreTest, FailureIsTriedOnOtherNodesThenHeld) {
  EXPECT_THAT(world.slurm.excluded, ElementsAre("n1", "n2"));
  ASSERT_TRUE(Fail(1, v1::PHASE_FRESH, "unsupported"));
  const std::string first = world.job.nodes()[1];
  EXPECT_THAT(world.job.exclusions.next, ElementsAre(first));
  world.Settle();
  GoToRestore();
  EXPECT_THAT(world.slurm.excluded, ElementsAre(first)) << "where it may go back to counts no more";
  ASSERT_TRUE(Fail(1, v1::PHASE_FRESH, "unsupported"));
  world.Settle();
  GoToRestore();
  ASSERT_TRUE(Fail(0, v1::PHASE_FRESH, "unsupported"));
  world.RunThroughQueue();
  EXPECT_EQ(world.job.stage, Stage::kHeld);
  EXPECT_THAT(world.comment, HasSubstr("attempt 3 of 3"));
  EXPECT_THAT(world.comment, HasSubstr("restoring checkpoint 2 of job 7"));
}

TEST_F(RestoreTest, ChangedFilesHoldAtOnce) {
  ASSERT_TRUE(Fail(0, v1::PHASE_FRESH, "changed"));
  world.RunThroughQueue();
  EXPECT_EQ(world.job.stage, Stage::kHeld);
  EXPECT_THAT(world.comment, HasSubstr("because of changed"));
}

TEST_F(RestoreTest, DamagedCheckpointFallsBackToTheOneBefore) {
  ASSERT_TRUE(Fail(0, v1::PHASE_FRESH, "corrupt"));
  world.Settle();
  GoToRestore();
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
  ASSERT_TRUE(Fail(0, v1::PHASE_FRESH, "corrupt"));
  world.RunThroughQueue();
  EXPECT_EQ(world.job.stage, Stage::kHeld);
}

TEST_F(RestoreTest, MemoryThatIsDamagedFallsBackToTheCheckpointBefore) {
  world.Settle();
  ASSERT_EQ(world.job.stage, Stage::kRunning);
  ASSERT_TRUE(Fail(1, v1::PHASE_RUNNING, "corrupt"));
  EXPECT_EQ(world.job.stage, Stage::kLeaving);
  world.Settle();
  GoToRestore();
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
}

TEST_F(RestoreTest, MemoryThatDoesNotComeIsTriedElsewhereThenHeld) {
  for (int attempt = 0; attempt < 2; ++attempt) {
    world.Settle();
    ASSERT_EQ(world.job.stage, Stage::kRunning);
    ASSERT_TRUE(Fail(1, v1::PHASE_RUNNING, "unavailable"));
    EXPECT_EQ(world.job.start.restore_checkpoint, 2U);
    world.Settle();
    GoToRestore();
  }
  world.Settle();
  ASSERT_TRUE(Fail(0, v1::PHASE_RUNNING, "unavailable"));
  world.RunThroughQueue();
  EXPECT_EQ(world.job.stage, Stage::kHeld);
  EXPECT_THAT(world.comment, HasSubstr("attempt 3 of 3"));
}

TEST_F(RestoreTest, MemoryMayBeMissedWhenTheNextCheckpointBegins) {
  world.Settle();
  ASSERT_TRUE(world.Happen(Wish{.reason = Reason::kSave}));
  ASSERT_EQ(world.job.stage, Stage::kFreezing);
  ASSERT_TRUE(Fail(1, v1::PHASE_RUNNING, "unavailable"));
  EXPECT_EQ(world.job.stage, Stage::kLeaving);
  EXPECT_EQ(world.job.newest(), 2U);
}

TEST_F(RestoreTest, ResumeMayNameACheckpoint) {
  ASSERT_TRUE(Fail(0, v1::PHASE_FRESH, "changed"));
  world.RunThroughQueue();
  ASSERT_EQ(world.job.stage, Stage::kHeld);
  EXPECT_FALSE(world.Happen(Resume{.checkpoint = 9}));
  ASSERT_TRUE(world.Happen(Resume{.excluded = {"n1"}, .checkpoint = 1}));
  EXPECT_THAT(world.slurm.excluded, ElementsAre("n1"));
  world.StartJob();
  world.Settle();
  EXPECT_EQ(world.job.start.restore_checkpoint, 1U);
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
  ASSERT_TRUE(world.Happen(Resume{}));
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

TEST_F(StateTest, ScriptEnds) {
  Run();
  v1::Ended ended;
  ended.set_exit_code(3);
  ASSERT_TRUE(world.Happen(ended, 0));
  EXPECT_TRUE(world.wardens[0].inbox.back().has_finish());
  EXPECT_TRUE(world.wardens[1].inbox.back().has_finish());
  world.Settle();
  EXPECT_EQ(world.job.stage, Stage::kEnded);
}

TEST_F(StateTest, AnEndThatALostNodeCausedIsNotTheEnd) {
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

TEST_F(StateTest, WhenAllPodsHaveEndedTheEndIsBelievedAtOnce) {
  Run();
  ASSERT_TRUE(Save());
  world.Settle();
  ASSERT_TRUE(world.Happen(v1::Ended(), 0));
  ASSERT_EQ(world.job.stage, Stage::kRunning);
  ASSERT_TRUE(world.Happen(v1::Ended(), 1));
  world.AnswerAsk();
  EXPECT_EQ(world.job.stage, Stage::kEnding);
}

TEST_F(StateTest, PodsMayTellOfTheEndInAnyOrder) {
  Run();
  ASSERT_TRUE(Save());
  world.Settle();
  ASSERT_TRUE(world.Happen(v1::Ended(), 1));
  ASSERT_EQ(world.job.stage, Stage::kRunning);
  ASSERT_TRUE(world.Happen(v1::Ended(), 0));
  world.AnswerAsk();
  EXPECT_EQ(world.job.stage, Stage::kEnding);
}

TEST_F(StateTest, AnEndOfSlurmsDoingIsNotTheScriptsOwn) {
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

TEST_F(StateTest, AScriptThatEndsForWantOfAPodIsNotTheEnd) {
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

TEST_F(StateTest, AnErrorOfAJobThatHasAllItsNodesIsItsEnd) {
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

TEST_F(StateTest, AfterAGoodEndPodZeroRemovesTheCheckpoints) {
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

TEST_F(StateTest, AfterADoubtfulEndNothingIsRemoved) {
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
