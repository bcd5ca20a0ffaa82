// The coordinator's state machine and the wardens' against each other, under everything that can
// happen to them: connections cut, messages late or said twice, either side killed and begun again,
// Slurm away, preempting, requeueing or losing nodes, operations that fail or take any time, pods
// that die. What must hold at a moment is checked then (simulation/operations.h, coordinator.h);
// here, that a job always comes to rest, and whole.
//
// HOLDFAST_SEEDS=N runs the first N seeds, not a hundred; HOLDFAST_SEED=N runs that one alone, and
// tells what happens in it.
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/log.h"
#include "tests/unit/coordinator/simulation/coordinator.h"

namespace holdfast::simulation {
namespace {

using coordinator::Reason;
using coordinator::Wish;

class Chaos {
 public:
  Chaos(uint32_t seed, bool tracing)
      : sim(seed, tracing),
        pods(1 + sim.Pick(3)),
        world{.sim = sim,
              .storage = storage,
              .call = [this](const auto& caller) { return coordinator->Answer(caller); },
              .reachable = [this](const auto& node) { return sim.now() >= cut_off[node]; },
              .told_task = [this](uint32_t pod, const auto& frame) { TellTask(pod, frame); },
              .wardens = [this] { return slurm->Wardens(); }} {
    JobOptions options{.checkpoint = true, .keep = 2};
    if (sim.Chance(0.5)) options.interval = Interval{.every = 60s};
    const bool limited = sim.Chance(0.4);
    if (limited) options.renewals = sim.Chance(0.7) ? kWithoutEnd : 1;
    coordinator::Policy policy;
    policy.precopy = sim.Chance(0.5);
    slurm.emplace(world, pods, options);
    if (limited)
      slurm->time_limit = std::chrono::duration_cast<std::chrono::seconds>(sim.Between(3min, 1h));
    coordinator.emplace(world, *slurm, policy);
  }

  // Comes to rest, or does not.
  void Run() {
    const auto until = sim.now() + sim.Between(3min, 30min);
    Meddle();
    while (sim.now() < until && Advance()) {
    }
    sim.Trace("-- no more faults");
    sim.faults = false;
    cut_off.clear();
    slurm->GoAway(0ms);
    slurm->Unsuspend();
    const auto limit = sim.now() + 6h;
    while (!AtRest() && sim.now() < limit && Advance()) {
    }
    if (sim.violation()) return;
    if (!AtRest()) return sim.Violate("it never comes to rest: " + Describe());
    // Giving up is for a job that its user can resume, or that has nothing to go back to.
    const auto& job = coordinator->job();
    const bool restorable = std::ranges::any_of(
        storage.committed, [&](uint32_t number) { return !storage.damaged.contains(number); });
    if (job && job->stage == Stage::kEnded && restorable && !world.may_end)
      sim.Violate("it has ended, and could be restored: " + Describe());
    if (job && job->stage == Stage::kHeld && job->last_error.empty() && !held_by_user)
      sim.Violate("it is held, and nobody knows why");
    PassTimeLimits();
  }
  // One that rests and may be renewed without end goes on.
  void PassTimeLimits() {
    const auto& job = coordinator->job();
    const auto limit = slurm->time_limit;
    if (!job || job->stage != Stage::kRunning || limit == 0s) return;
    const auto left =
        std::chrono::seconds(slurm->Look().end_time) - std::chrono::nanoseconds(sim.now_ns());
    if (left < 2min) return;  // nobody promises to save it in that
    const uint32_t renewals = job->renewals;
    const bool goes_on = job->options.renewals == kWithoutEnd;
    sim.Trace("-- its time limits pass");
    const auto until = sim.now() + 2 * limit + 10min;
    while (sim.now() < until && Advance()) {
    }
    const bool ended = ended_well || world.ended_by_signal;
    if (!sim.violation() && goes_on && job->renewals == renewals && !ended)
      sim.Violate("it was not renewed: " + Describe());
  }

  std::string Describe() const {
    if (!coordinator->job()) return "the coordinator does not know the job";
    const Record record = slurm->Look();
    return fmt::format(
        "{} ({}), Slurm says {}{}{}", StageName(coordinator->job()->stage),
        coordinator->job()->last_error, record.state_name, record.held ? ", held" : "",
        record.excluded.empty() ? ""
                                : fmt::format(", excluding {}", fmt::join(record.excluded, ",")));
  }

  Simulation sim;
  Storage storage;
  const uint32_t pods;
  std::map<std::string, SteadyTime> cut_off;  // nodes, until then
  Surroundings world;
  std::optional<Slurm> slurm;
  std::optional<Coordinator> coordinator;
  bool ended_well = false;  // its script has
  bool held_by_user = false;

 private:
  bool Advance() {
    if (!sim.Advance()) return false;
    slurm->Sweep();
    for (const WardenProcess* warden : slurm->Wardens())
      if (slurm->is(Record::State::kRunning) && warden->start() != slurm->Look().restart_count)
        sim.Violate("a pod of an earlier start is left");
    return true;
  }

  // One thing after the other goes wrong, or is asked for.
  void Meddle() {
    sim.After(sim.Between(50ms, 1min), [this] {
      if (!sim.faults) return;
      MeddleOnce(sim.Pick(pods));
      Meddle();
    });
  }
  void MeddleOnce(uint32_t pod) {
    WardenProcess* warden = slurm->Find(pod);
    switch (sim.Pick(21)) {
      case 0:
      case 1:
      case 2:
        if (warden != nullptr) warden->line.Break(kKeepalive);
        return;
      case 3:
        if (warden == nullptr) return;
        sim.Trace("{} is cut off", warden->node());
        cut_off[warden->node()] = sim.now() + sim.Between(1s, 10min);
        warden->line.Break(kKeepalive);
        return;
      case 4:
      case 5:
        return coordinator->Restart();
      case 6:
      case 7:
      case 8:
        return Want({.reason = Reason::kSave});
      case 9:
        return Want({.reason = Reason::kMigrate, .stop = true, .hold = sim.Chance(0.2)});
      case 10:
        if (warden != nullptr)
          Want({.reason = sim.Chance(0.5) ? Reason::kEvacuate : Reason::kSpot,
                .stop = true,
                .excluded = {warden->node()}});
        return;
      case 11:
      case 12:
        return slurm->Preempt(sim.Between(1s, 3min));
      case 13:
        slurm->GoAway(sim.Between(1s, 10min));
        return;
      case 14:
        if (sim.Chance(0.2) && slurm->is(Record::State::kRunning)) (void)slurm->Requeue(false);
        return;
      case 15:
        if (Harm()) return slurm->LoseNode(pod), Break(pod);
        return;
      case 16:
        if (Harm()) return slurm->KillWarden(pod), Break(pod);
        return;
      case 17:
        if (warden != nullptr && Harm()) {
          if (pod == 0) return EndScript({.code = 0, .signal = SIGKILL});
          warden->operations.Exit({.code = 0, .signal = SIGKILL});
          Break(pod);
        }
        return;
      case 18:
        if (sim.Chance(0.03)) EndScript({.code = static_cast<int>(sim.Pick(2))});
        if (sim.Chance(0.01)) {
          world.may_end = true;
          slurm->Cancel();
        }
        return;
      case 19:
        if (coordinator->job() && coordinator->job()->stage == Stage::kHeld)
          (void)coordinator->Post(coordinator::Resume{.from_start = sim.Chance(0.1)});
        return;
      case 20:
        if (sim.Chance(0.5)) slurm->Suspend(sim.Between(1s, 10min));
        return;
    }
  }
  // A job that has nothing to go back to is ended by that, and no more can be learnt from it.
  bool Harm() { return sim.Chance(storage.committed.empty() ? 0.03 : 0.5); }
  void Want(Wish wish) {
    wish.begun_ns = sim.now_ns();
    held_by_user |= wish.hold;
    sim.Trace("wanted: {}", ReasonName(wish.reason));
    (void)coordinator->Post(std::move(wish));
  }
  // The program may notice that it has lost a part of itself.
  void Break(uint32_t pod) {
    if (pod == 0 || sim.Chance(0.5)) return;
    if (WardenProcess* first = slurm->Find(0))
      sim.After(sim.Between(1ms, 5s), first->life(), [this, first] {
        if (first->operations.is == PodIs::kRunning)
          first->operations.Exit({.code = static_cast<int>(sim.Pick(2))});
      });
  }
  void EndScript(ExitStatus status) {
    WardenProcess* first = slurm->Find(0);
    if (first == nullptr || first->operations.is != PodIs::kRunning) return;
    world.may_end = true;
    ended_well = status.ok();
    first->operations.Exit(status);
  }
  void TellTask(uint32_t pod, const pod::Frame& frame) {
    const bool over = coordinator->has_decided();
    const WardenProcess* warden = slurm->Find(pod);
    // Nobody requeued the job, because nobody could.
    if (warden == nullptr)
      world.may_end |= !coordinator->running() || sim.now() < coordinator->up_since() + 5min ||
                       sim.now() < slurm->away_until() + 5min;
    const bool goes = frame.type == pod::FrameType::kEnded || frame.type == pod::FrameType::kFailed;
    if (goes && !over && warden != nullptr && warden->operations.is == PodIs::kDead) {
      if (warden->line.attached()) sim.Violate("a pod goes before the coordinator has decided");
      world.may_end = true;  // nobody was there to ask
    }
    if (pod != 0 && frame.type == pod::FrameType::kFailed && ended_well && over &&
        slurm->is(Record::State::kRunning))
      sim.Violate("the job fails, and its script has ended well: " + frame.message);
    // One that died cannot say so before its warden has done what it is at.
    for (const WardenProcess* other : slurm->Wardens())
      world.may_end |= goes && other->operations.is == PodIs::kDead && other->runner.busy();
    slurm->TellTask(pod, frame);
  }

  bool AtRest() const {
    const Record record = slurm->Look();
    // It may end before the coordinator has heard of it.
    if (!coordinator->job()) return record.state == Record::State::kTerminal;
    const Job& job = *coordinator->job();
    if (job.stage == Stage::kEnded) return record.state == Record::State::kTerminal;
    if (job.stage == Stage::kHeld)
      return record.held && record.state == Record::State::kPending && !record.completing;
    if (job.stage != Stage::kRunning || record.state != Record::State::kRunning ||
        record.being_preempted() || job.start.wish || job.start.suspicion ||
        job.start.doubted_end || !job.can_save() || slurm->Wardens().size() != pods)
      return false;
    return std::ranges::all_of(slurm->Wardens(), [](const WardenProcess* warden) {
      return warden->operations.is == PodIs::kRunning && !warden->runner.busy();
    });
  }
};

constexpr uint32_t kSeeds = 100;  // some seconds

TEST(Simulation, AJobIsNeverLostNorStartedOver) {
  ASSERT_TRUE(log::Open("test", "/dev/null"));
  const char* const one = std::getenv("HOLDFAST_SEED");
  const char* const many = std::getenv("HOLDFAST_SEEDS");
  const uint32_t first = one ? static_cast<uint32_t>(std::strtoul(one, nullptr, 10)) : 0;
  const uint32_t count = one    ? 1
                         : many ? static_cast<uint32_t>(std::strtoul(many, nullptr, 10))
                                : kSeeds;
  uint32_t failures = 0;
  uint32_t commits = 0;
  uint32_t renewals = 0;
  std::map<std::string, uint32_t> ends;
  for (uint32_t seed = first; seed < first + count && failures < 10; ++seed) {
    Chaos chaos(seed, one != nullptr);
    chaos.Run();
    commits += chaos.storage.commits;
    if (const auto& job = chaos.coordinator->job()) {
      ++ends[StageName(job->stage)];
      renewals += job->renewals;
    }
    if (chaos.sim.violation()) {
      ++failures;
      ADD_FAILURE() << "HOLDFAST_SEED=" << seed << ": " << *chaos.sim.violation();
    }
  }
  for (const auto& [stage, times] : ends) fmt::print("{}: {}\n", stage, times);
  fmt::print("commits: {}\nrenewals: {}\n", commits, renewals);
  if (one) return;
  // The faults must not have been so many that nothing of interest happened.
  EXPECT_GT(ends["running"], count / 8);
  EXPECT_GT(commits, count / 2);
  EXPECT_GT(renewals, count / 20);
}

}  // namespace
}  // namespace holdfast::simulation
