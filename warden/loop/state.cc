#include "warden/loop/state.h"

#include <array>

namespace holdfast::warden {
namespace {

struct Row {
  State state;
  Input input;
  State next;
  Action action;
};

constexpr Row kTable[] = {
    // Start of a job.
    {State::kAttaching, Input::kWelcome, State::kCreating, Action::kCreate},
    {State::kCreating, Input::kWelcome, State::kCreating, Action::kNothing},
    {State::kCreating, Input::kDone, State::kReady, Action::kSayReady},
    {State::kCreating, Input::kFailed, State::kUnusable, Action::kSayFailed},
    {State::kUnusable, Input::kWelcome, State::kUnusable, Action::kSayFailed},
    {State::kReady, Input::kWelcome, State::kReady, Action::kNothing},
    {State::kReady, Input::kStart, State::kStarting, Action::kStart},
    {State::kStarting, Input::kWelcome, State::kStarting, Action::kNothing},
    {State::kStarting, Input::kStart, State::kStarting, Action::kNothing},
    {State::kStarting, Input::kDone, State::kRunning, Action::kSayRunning},
    {State::kStarting, Input::kFailed, State::kUnusable, Action::kSayFailed},
    {State::kRunning, Input::kWelcome, State::kRunning, Action::kNothing},
    {State::kRunning, Input::kStart, State::kRunning, Action::kSayRunning},

    // A checkpoint.
    {State::kRunning, Input::kPrepare, State::kSaving, Action::kSave},
    {State::kSaving, Input::kWelcome, State::kSaving, Action::kNothing},
    {State::kSaving, Input::kDone, State::kPrepared, Action::kSayPrepared},
    {State::kSaving, Input::kFailed, State::kRunning, Action::kSayFailed},
    {State::kSaving, Input::kSettleAbort, State::kAborting, Action::kNothing},
    {State::kAborting, Input::kWelcome, State::kAborting, Action::kNothing},
    {State::kAborting, Input::kSettleAbort, State::kAborting, Action::kNothing},
    {State::kAborting, Input::kDone, State::kResuming, Action::kResumeAbort},
    {State::kAborting, Input::kFailed, State::kRunning, Action::kSaySettled},
    {State::kPrepared, Input::kWelcome, State::kPrepared, Action::kNothing},
    {State::kPrepared, Input::kCommit, State::kCommitting, Action::kCommit},
    {State::kPrepared, Input::kSettleResume, State::kResuming, Action::kResume},
    {State::kPrepared, Input::kSettleRelease, State::kReleasing, Action::kRelease},
    {State::kPrepared, Input::kSettleAbort, State::kResuming, Action::kResumeAbort},
    {State::kPrepared, Input::kPatienceOver, State::kResuming, Action::kResume},
    {State::kCommitting, Input::kDone, State::kStored, Action::kSayStored},
    {State::kCommitting, Input::kFailed, State::kPrepared, Action::kSayFailed},
    {State::kStored, Input::kWelcome, State::kStored, Action::kNothing},
    {State::kStored, Input::kCommit, State::kStored, Action::kSayStored},
    {State::kStored, Input::kConfirm, State::kSealing, Action::kSeal},
    {State::kStored, Input::kSettleResume, State::kResuming, Action::kResume},
    {State::kStored, Input::kSettleAbort, State::kResuming, Action::kResumeAbort},
    {State::kStored, Input::kPatienceOver, State::kResuming, Action::kResume},
    {State::kSealing, Input::kDone, State::kCommitted, Action::kSayCommitted},
    {State::kSealing, Input::kFailed, State::kPrepared, Action::kSayFailed},
    {State::kCommitted, Input::kWelcome, State::kCommitted, Action::kNothing},
    {State::kCommitted, Input::kCommit, State::kCommitted, Action::kSayCommitted},
    {State::kCommitted, Input::kSettleResume, State::kResuming, Action::kResume},
    {State::kCommitted, Input::kSettleRelease, State::kReleasing, Action::kRelease},
    {State::kCommitted, Input::kPatienceOver, State::kResuming, Action::kResume},
    // Either way the processes go on, or their pod is seen to end.
    {State::kResuming, Input::kDone, State::kRunning, Action::kSaySettled},
    {State::kResuming, Input::kFailed, State::kRunning, Action::kSaySettled},
    // A process that cannot even be killed (a dead file server) is Slurm's to deal with.
    {State::kReleasing, Input::kDone, State::kReleased, Action::kSaySettled},
    {State::kReleasing, Input::kFailed, State::kReleased, Action::kSaySettled},

    // Verdicts that find nothing frozen: after a failed Prepare, after patience was over, or said
    // again to a warden whose answer was lost. RELEASE says that there is a commit to go on from.
    {State::kRunning, Input::kSettleResume, State::kRunning, Action::kSaySettled},
    {State::kRunning, Input::kSettleAbort, State::kRunning, Action::kSaySettled},
    {State::kRunning, Input::kSettleRelease, State::kReleasing, Action::kRelease},
    {State::kReleased, Input::kWelcome, State::kReleased, Action::kNothing},
    {State::kReleased, Input::kSettleRelease, State::kReleased, Action::kSaySettled},
    {State::kUnusable, Input::kSettleAbort, State::kUnusable, Action::kSaySettled},
    {State::kUnusable, Input::kSettleRelease, State::kUnusable, Action::kSaySettled},
    {State::kEnded, Input::kSettleResume, State::kEnded, Action::kSaySettled},
    {State::kEnded, Input::kSettleAbort, State::kEnded, Action::kSaySettled},
    {State::kEnded, Input::kSettleRelease, State::kEnded, Action::kSaySettled},

    // A pod that was restored, but not with all of its memory, or of which processes have died of a
    // save. If it was committed, that counts.
    {State::kReady, Input::kDamaged, State::kUnusable, Action::kSayDamaged},
    {State::kRunning, Input::kDamaged, State::kUnusable, Action::kSayDamaged},
    {State::kPrepared, Input::kDamaged, State::kUnusable, Action::kSayDamaged},
    {State::kStored, Input::kDamaged, State::kUnusable, Action::kSayDamaged},
    {State::kCommitted, Input::kDamaged, State::kUnusable, Action::kSayDamaged},

    // The end. What a frozen pod saved stays: it may have been committed.
    {State::kReady, Input::kExited, State::kEnded, Action::kEnd},
    {State::kRunning, Input::kExited, State::kEnded, Action::kEnd},
    {State::kPrepared, Input::kExited, State::kEnded, Action::kEnd},
    {State::kStored, Input::kExited, State::kEnded, Action::kEnd},
    {State::kCommitted, Input::kExited, State::kEnded, Action::kEnd},
    {State::kEnded, Input::kWelcome, State::kEnded, Action::kSayEnded},
};

}  // namespace

std::optional<Step> Next(State state, Input input) {
  for (const Row& row : kTable)
    if (row.state == state && row.input == input)
      return Step{.next = row.next, .action = row.action};
  return std::nullopt;
}

std::optional<v1::Phase> PhaseOf(State state) {
  switch (state) {
    case State::kAttaching:
    case State::kCreating:
    case State::kUnusable:
      return v1::PHASE_FRESH;
    case State::kReady:
    case State::kStarting:
      return v1::PHASE_READY;
    case State::kRunning:
      return v1::PHASE_RUNNING;
    case State::kSaving:
    case State::kAborting:
      return v1::PHASE_PREPARING;
    case State::kPrepared:
    case State::kStored:
      return v1::PHASE_PREPARED;
    case State::kCommitted:
      return v1::PHASE_COMMITTED;
    case State::kReleased:
      return v1::PHASE_RELEASED;
    case State::kEnded:
      return v1::PHASE_ENDED;
    case State::kCommitting:
    case State::kSealing:
    case State::kResuming:
    case State::kReleasing:
      return std::nullopt;
  }
  return std::nullopt;
}

bool AwaitsVerdict(State state) {
  return state == State::kPrepared || state == State::kStored || state == State::kCommitted;
}

const char* Name(State state) {
  constexpr std::array kNames{"attaching", "creating", "unusable",  "ready",    "starting",
                              "running",   "saving",   "aborting",  "prepared", "committing",
                              "stored",    "sealing",  "committed", "resuming", "releasing",
                              "released",  "ended"};
  return kNames[static_cast<size_t>(state)];
}

const char* Name(Input input) {
  constexpr std::array kNames{
      "Welcome",        "Start",           "Prepare",       "Commit", "Confirm",
      "Settle(RESUME)", "Settle(RELEASE)", "Settle(ABORT)", "done",   "failed",
      "exit",           "memory lost",     "patience over"};
  return kNames[static_cast<size_t>(input)];
}

}  // namespace holdfast::warden
