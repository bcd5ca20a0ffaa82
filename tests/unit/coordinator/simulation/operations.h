// What the operations of warden.h do to pods and storage, and what must hold when they do.
#pragma once

#include "tests/unit/coordinator/simulation/warden.h"

namespace holdfast::simulation {

inline Status FakeOperations::Trouble(const char* what, double probability) {
  if (!world_.sim.Fault(probability)) return {};
  constexpr Code kCodes[] = {Code::kUnavailable, Code::kTimeout, Code::kInternal, Code::kNoSpace};
  world_.sim.Trace("{}: {} fails", job_.environment.node, what);
  return Fail(kCodes[world_.sim.Pick(4)], std::string(what) + " did not work");
}

inline Status FakeOperations::Create(const v1::Welcome& welcome) {
  HOLDFAST_CHECK(Trouble("create", 0.08));
  const uint32_t number = welcome.restore_checkpoint();
  if (welcome.restore_job() != 0) {
    if (!world_.storage.committed.contains(number))
      return Fail(Code::kNotFound, "there is no such checkpoint");
    if (world_.storage.damaged.contains(number))
      return Fail(Code::kCorrupt, "the checkpoint is damaged");
  }
  for (const WardenProcess* other : world_.wardens())
    if (other->operations.is != PodIs::kNothing && other->operations.restored != number)
      world_.sim.Violate("pods of one start are restored from different checkpoints");
  is = PodIs::kHeld;
  restored = number;
  // Memory that comes while the pod runs may never come.
  if (number != 0 && world_.sim.Fault(0.05))
    world_.sim.After(world_.sim.Between(10ms, 60s), life_, [this] { GiveUpDamaged(); });
  return {};
}

inline Status FakeOperations::Start() {
  if (is != PodIs::kHeld) return Fail(Code::kInternal, "the pod has died");
  HOLDFAST_CHECK(Trouble("start", 0.02));
  for (const WardenProcess* other : world_.wardens())
    if (other->operations.is == PodIs::kNothing)
      world_.sim.Violate("a pod is started before all are ready");
  is = PodIs::kRunning;
  return {};
}

inline Status FakeOperations::BeginPrecopy(const v1::Precopy& precopy) {
  world_.sim.After(world_.sim.Between(1ms, 10s), life_, [this, number = precopy.checkpoint()] {
    v1::FromWarden message;
    message.mutable_precopied()->set_checkpoint(number);
    line_.Send(std::move(message));
  });
  return {};
}

inline Status FakeOperations::Save(const v1::Prepare& prepare) {
  if (is != PodIs::kRunning) return Fail(Code::kInternal, "the pod has died");
  HOLDFAST_CHECK(Trouble("save", 0.1));
  is = PodIs::kFrozen;
  still_since = prepare.checkpoint();
  world_.storage.parts.emplace(prepare.checkpoint(), job_.pod());
  prepared_.set_checkpoint(prepare.checkpoint());
  prepared_.mutable_part()->set_pod(job_.pod());
  return {};
}

inline Status FakeOperations::Commit(const v1::Commit& commit) {
  HOLDFAST_CHECK(Trouble("commit", 0.1));
  sealing_ = commit.checkpoint();
  return {};
}

inline Status FakeOperations::Seal(SteadyTime deadline) {
  const uint32_t number = sealing_;
  HOLDFAST_CHECK(Trouble("seal", 0.05));
  if (world_.sim.now() >= deadline) return Fail(Code::kTimeout, "too late");
  if (is != PodIs::kFrozen) return Fail(Code::kUnavailable, "the pod has died");
  for (uint32_t pod = 0; pod < job_.environment.pods; ++pod)
    if (!world_.storage.parts.contains({number, pod}))
      world_.sim.Violate(fmt::format("checkpoint {} is committed without pod {}", number, pod));
  for (const WardenProcess* other : world_.wardens())
    if (other->operations.is == PodIs::kRunning || other->operations.still_since != number)
      world_.sim.Violate(fmt::format("checkpoint {} is committed, and pod {} has gone on before",
                                     number, other->pod()));
  world_.sim.Trace("checkpoint {} is committed", number);
  world_.storage.committed.insert(number);
  world_.storage.start_of[number] = job_.environment.restart_count;
  ++world_.storage.commits;
  if (world_.sim.Fault(0.05)) world_.storage.damaged.insert(number);
  committed_ = number;
  Note(number);
  while (saved_.size() > job_.options.keep.value_or(1)) saved_.erase(saved_.begin());
  return {};
}

inline Status FakeOperations::Resume(bool drop) {
  const uint32_t number = prepared_.checkpoint();
  if (is == PodIs::kFrozen) is = PodIs::kRunning;
  still_since = 0;
  if (!drop) return {};
  if (world_.storage.committed.contains(number))
    world_.sim.Violate(fmt::format("checkpoint {} is dropped, and it was committed", number));
  world_.storage.parts.erase({number, job_.pod()});
  return {};
}

inline Status FakeOperations::Release() {
  if (is == PodIs::kFrozen || is == PodIs::kRunning) {
    const auto& committed = world_.storage.committed;
    if (committed.empty() ||
        world_.storage.start_of.at(*committed.rbegin()) != job_.environment.restart_count ||
        (is == PodIs::kFrozen && !committed.contains(still_since)))
      world_.sim.Violate(
          fmt::format("pod {} is released without a commit of this start", job_.pod()));
  }
  is = PodIs::kDead;
  return {};
}

inline Status FakeOperations::Tidy() {
  auto& committed = world_.storage.committed;
  while (committed.size() > job_.options.keep.value_or(1)) committed.erase(committed.begin());
  return {};
}

inline Status FakeOperations::RemoveCheckpoints() {
  world_.storage.committed.clear();
  return {};
}

inline Status FakeOperations::Signal(const pod::RelayedSignal& relayed) {
  if (is != PodIs::kRunning) return {};
  if (job_.pod() == 0 && world_.sim.Chance(0.2))
    world_.sim.After(world_.sim.Between(1ms, 5s), life_, [this, signal = relayed.signal] {
      if (is != PodIs::kRunning) return;
      world_.may_end = world_.ended_by_signal = true;
      Exit({.code = 0, .signal = signal});
    });
  return {};
}

inline void FakeOperations::Exit(ExitStatus status) {
  if (is == PodIs::kNothing || is == PodIs::kDead) return;
  world_.sim.Trace("pod {} ends: {}", job_.pod(), status.ToString());
  is = PodIs::kDead;
  exit_ = status;
  wake_();
  // Its pod-root has seen pod 0's go (pod/pod_root.h).
  if (job_.pod() != 0) return;
  for (WardenProcess* other : world_.wardens())
    if (other->pod() != 0)
      world_.sim.After(world_.sim.Between(1ms, 2s), other->life(), [other] {
        if (other->operations.is == PodIs::kRunning) other->operations.Exit({});
      });
}

inline void FakeOperations::GiveUpDamaged() {
  if (is != PodIs::kHeld && is != PodIs::kRunning) return;
  memory_failure_ = Error(Code::kUnavailable, "the store is away");
  Exit({.code = 0, .signal = 9});
}

}  // namespace holdfast::simulation
