// What a warden does next: one table of (state, input) -> (state, action). Pure, so that every
// interleaving can be tested without a pod; lifecycle.cc carries the actions out.
#pragma once

#include <optional>

#include "protocol/holdfast.pb.h"

namespace holdfast::warden {

enum class State {
  kAttaching,  // no coordinator has said yet what is to be done
  kCreating,   // making or restoring the pod
  kUnusable,   // that failed, or did later; the coordinator decides
  kReady,      // made or restored, held
  kStarting,   // letting it go
  kRunning,
  kSaving,      // cutting, freezing, storing
  kAborting,    // the same, but the coordinator has given up on it meanwhile
  kPrepared,    // frozen, cut, durable
  kCommitting,  // pod 0: storing what the manifest is to name beside the parts
  kStored,      // pod 0: asks whether everybody is still frozen
  kSealing,     // pod 0: writing the manifest
  kCommitted,   // pod 0: still frozen
  kResuming,    // ending CRIU's session, un-cutting
  kReleasing,   // killing
  kReleased,    // killed after a commit; Slurm ends the step
  kEnded,       // the script ended, or the pod died
};

enum class Input {
  // From the coordinator.
  kWelcome,
  kStart,
  kPrepare,
  kCommit,
  kConfirm,
  kSettleResume,
  kSettleRelease,
  kSettleAbort,
  // The operation under way, in one of the states that end with -ing.
  kDone,
  kFailed,
  // From the pod: its root, or the whole of it, has ended.
  kExited,
  // It was killed: memory of a lazy restore could not be had, or processes died of a save.
  kDamaged,
  // A frozen pod's coordinator has been away for longer than the site allows.
  kPatienceOver,
};

enum class Action {
  kNothing,
  kCreate,
  kStart,
  kSave,
  kCommit,
  kSeal,
  kResume,       // and keep what was saved: it may have been committed
  kResumeAbort,  // and drop what was saved
  kRelease,
  kSayReady,
  kSayFailed,
  kSayRunning,
  kSayPrepared,
  kSayStored,
  kSayCommitted,
  kSaySettled,
  kSayEnded,
  kSayDamaged,  // and collect what is left of the pod
  kEnd,         // collect the exit status and say Ended
};

struct Step {
  State next;
  Action action;
};

// Nothing if the input makes no sense in that state: it is to be logged and ignored.
std::optional<Step> Next(State state, Input input);

// What Hello says after a reconnect. Nothing while the answer is being decided by an operation that
// soon ends: a pod whose manifest is being written must say neither PREPARED nor COMMITTED.
std::optional<v1::Phase> PhaseOf(State state);

// Whether the pod is frozen and waits for a verdict.
bool AwaitsVerdict(State state);

const char* Name(State state);
const char* Name(Input input);

}  // namespace holdfast::warden
