// The state machine under random orders of everything that can happen, faults included. World
// checks at every message that nothing is released uncommitted, nothing committed is aborted,
// nothing starts before all are ready, and nothing starts over; here, that the job always comes to
// rest, and whole.
#include <gtest/gtest.h>

#include <csignal>
#include <random>

#include "tests/unit/coordinator/world.h"

namespace holdfast::coordinator {
namespace {

class Chaos {
 public:
  Chaos(uint32_t seed, uint32_t pods) : world(pods), random_(seed) {
    world.policy.precopy = seed % 2 == 1;
    world.check_kept = false;  // it restarts often enough
    world.StartJob();
  }

  void Step() {
    const uint32_t pod = Pick(static_cast<uint32_t>(world.wardens.size()));
    World::Warden& warden = world.wardens[pod];
    switch (Pick(24)) {
      default:
        if (world.Advance()) return;
        Slurm();
        return;
      case 0:
        if (!warden.inbox.empty()) world.Read(pod, AnyFault());
        return;
      case 1:
        if (!warden.outbox.empty()) (void)world.Hear(pod);
        return;
      case 2:
        if (!warden.inbox.empty()) world.Read(pod);
        return;
      case 3:
        if (Pick(4) == 0) world.Disconnect(pod);
        return;
      case 4:
        // A job that never said Hello is not the coordinator's.
        if (!world.job.pods.empty() && Pick(10) == 0) {
          warden.alive = false;
          world.Disconnect(pod);
        }
        return;
      case 5:
        if (Pick(5) == 0) world.RestartCoordinator();
        return;
      case 6:
        (void)world.Happen(Wish{.reason = Reason::kSave});
        return;
      case 7:
        if (Pick(3) == 0) (void)world.Happen(Wish{.reason = Reason::kMigrate, .stop = true});
        return;
      case 8:
        if (Pick(4) == 0) Preempt(pod);
        return;
      case 9:
        if (!world.timers.empty()) {
          auto timer = world.timers.begin();
          std::advance(timer, Pick(static_cast<uint32_t>(world.timers.size())));
          if (*timer == TimerKind::kAsk || Pick(10) == 0) world.Fire(*timer);
        }
        return;
      case 10:
        Slurm();
        return;
      case 11:
        // A frozen pod that waited too long for a verdict goes on by itself, and keeps what it
        // saved.
        if (warden.connected || warden.phase != v1::PHASE_PREPARED || Pick(4) != 0) return;
        // If it had promised to stay, pod 0 has asked so long ago that it would ask again.
        if (warden.promised) ++world.wardens[0].round;
        warden.promised = false;
        warden.phase = v1::PHASE_RUNNING;
        return;
      case 12:
        if (Pick(20) != 0 || world.slurm.state != Record::State::kRunning) return;
        if (Pick(2) == 0) {
          world.Evict(/*cancel=*/Pick(2) == 0);
        } else {
          world.slurm.state = Record::State::kPending;
          ++world.slurm.restart_count;
          world.slurm.completing = true;
          world.KillPods();
        }
        return;
    }
  }

  // No more faults: everything that is due happens, timers last.
  void Calm() {
    for (int i = 0; i < 2000; ++i) {
      while (world.Advance()) {
      }
      if (world.job.stage == Stage::kRunning && !world.job.start.wish && !world.job.checkpoint &&
          world.job.can_save())
        return;
      if (world.job.stage == Stage::kHeld || world.job.stage == Stage::kEnded) return;
      Slurm();
      while (world.Advance()) {
      }
      world.now += std::chrono::nanoseconds(world.policy.ask_pause).count();
      if (!world.timers.empty()) world.Fire(*world.timers.begin());
    }
    FAIL() << "no rest, in stage " << StageName(world.job.stage);
  }

  World world;

 private:
  uint32_t Pick(uint32_t below) { return static_cast<uint32_t>(random_() % below); }
  World::Fault AnyFault() { return static_cast<World::Fault>(Pick(4)); }

  void Preempt(uint32_t pod) {
    if (world.slurm.state != Record::State::kRunning || !world.wardens[pod].connected ||
        !world.wardens[pod].knows_coordinator)
      return;
    if (Pick(2) == 0) world.slurm.preempt_time = world.slurm.start_time + 1;
    v1::Notice notice;
    notice.set_signal(SIGTERM);
    (void)world.Happen(notice, pod);
  }

  // Slurm goes on by itself; the poll sees it.
  void Slurm() {
    if (world.requeue_asked()) world.DoRequeue();
    if (world.slurm.state == Record::State::kTerminal && world.slurm.completing) world.Clean();
    if (world.slurm.state == Record::State::kPending) {
      if (world.slurm.completing)
        world.Clean();
      else if (!world.slurm.held)
        world.StartJob();
    }
    world.slurm.asked_ns = world.now;
    (void)world.Happen(world.slurm);
  }

  std::mt19937 random_;
};

TEST(Interleavings, JobIsNeverLostNorStartedOver) {
  constexpr uint32_t kRuns = 2500;
  int running = 0;
  int commits = 0;
  for (uint32_t seed = 0; seed < kRuns && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Chaos chaos(seed, 1 + seed % 4);
    for (int i = 0; i < 400; ++i) chaos.Step();
    chaos.Calm();
    const World& world = chaos.world;
    commits += static_cast<int>(world.committed.size());
    if (world.job.stage == Stage::kRunning) {
      ++running;
      for (const World::Warden& warden : world.wardens)
        EXPECT_EQ(warden.phase, v1::PHASE_RUNNING) << "left behind";
    }
    // Giving up is only for a job that can be resumed by its user, or that had nothing to go back
    // to.
    EXPECT_TRUE(world.job.stage != Stage::kEnded || world.committed.empty());
    EXPECT_TRUE(world.job.stage != Stage::kHeld || world.slurm.held);
  }
  // The faults must not have been so many that nothing of interest happened.
  EXPECT_GT(running, static_cast<int>(kRuns) / 4);
  EXPECT_GT(commits, static_cast<int>(kRuns));
}

}  // namespace
}  // namespace holdfast::coordinator
