#include "warden/loop/lifecycle.h"

#include <signal.h>

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace holdfast::warden {
namespace {

using std::chrono::seconds;

// How long the end of the job waits for a coordinator that is away to hear of it.
constexpr seconds kEndedPatience{5};

// The pod exists, and no operation on it is under way.
bool HasIdlePod(State state) {
  return state == State::kReady || state == State::kRunning || AwaitsVerdict(state);
}

v1::Phase PhaseOfFailure(State state) {
  switch (state) {
    case State::kSaving:
    case State::kAborting:
      return v1::PHASE_PREPARING;
    case State::kCommitting:
    case State::kSealing:
      return v1::PHASE_PREPARED;
    default:
      return v1::PHASE_FRESH;
  }
}

}  // namespace

Lifecycle::Lifecycle(const Job& job, TaskLink& link, CoordinatorLine& channel, Runner& worker,
                     PodOperations& operations, Spot& spot, Now now)
    : job_(job),
      link_(link),
      channel_(channel),
      worker_(worker),
      operations_(operations),
      spot_(spot),
      now_(std::move(now)),
      signals_(channel, operations, now_) {}

void Lifecycle::Begin() { SayHello(); }

bool Lifecycle::watches_pod() const { return HasIdlePod(state_) && !worker_.busy(); }

void Lifecycle::Turn(const Ready& ready) {
  if (ready.worker) worker_.Collect();
  if (ready.channel) OnChannel();
  if (ready.link) OnLink();
  // Something of the above may have begun an operation.
  if (ready.pod && watches_pod()) Apply(operations_.damage() ? Input::kDamaged : Input::kExited);
  OnTimers();
  if (farewell_ && !left_ && !worker_.busy()) Leave(*farewell_);
}

void Lifecycle::OnChannel() {
  for (const Incoming& incoming : channel_.Take()) {
    if (incoming.lost) {
      channel_.Reopen();
      SayHello();
    } else {
      OnMessage(incoming.message);
    }
  }
}

void Lifecycle::OnMessage(const v1::ToWarden& message) {
  switch (message.body_case()) {
    case v1::ToWarden::kWelcome:
      if (state_ == State::kAttaching) {
        if (message.welcome().network().peers().empty()) break;  // a Regroup follows
        request_ = message;
      }
      Apply(Input::kWelcome);
      signals_.Repeat();
      spot_.Repeat();
      break;
    case v1::ToWarden::kStart:
      Apply(Input::kStart);
      break;
    case v1::ToWarden::kPrepare:
      if (state_ == State::kRunning) {
        request_ = message;
        checkpoint_ = message.prepare().checkpoint();
      }
      Apply(Input::kPrepare);
      break;
    case v1::ToWarden::kPrecopy:
      if (state_ == State::kRunning)
        Background("precopy", [this, precopy = message.precopy()] {
          return operations_.BeginPrecopy(precopy);
        });
      break;
    case v1::ToWarden::kCommit:
      if (message.commit().checkpoint() != checkpoint_) break;
      if (state_ == State::kPrepared) request_ = message;
      Apply(Input::kCommit);
      break;
    case v1::ToWarden::kStay:
      OnStay(message.stay());
      break;
    case v1::ToWarden::kConfirm:
      OnConfirm(message.confirm());
      break;
    case v1::ToWarden::kSettle:
      OnSettle(message.settle());
      break;
    case v1::ToWarden::kDeliver:
      signals_.Obey(message.deliver(), state_);
      if (const Status told = link_.Send({.type = pod::FrameType::kDelivered}); !told)
        log::Failure("delivered", told.error());
      break;
    case v1::ToWarden::kDrain:
      spot_.Drain(message.drain().reason());
      break;
    case v1::ToWarden::kFinish:
      remove_checkpoints_ = message.finish().remove_checkpoints() && job_.pod() == 0;
      Leave(Farewell());
      break;
    case v1::ToWarden::kRegroup:
      if (state_ == State::kAttaching)
        Leave({.type = pod::FrameType::kRegroup, .pods = message.regroup().pods()});
      break;
    case v1::ToWarden::kRefuse:
      log::Warn("refused", {{"why", message.refuse().message()}});
      Leave({.type = pod::FrameType::kFailed, .message = message.refuse().message()});
      break;
    default:
      log::Warn("unknown-message", {{"body", static_cast<int>(message.body_case())}});
  }
}

void Lifecycle::OnSettle(const v1::Settle& settle) {
  // A verdict on another checkpoint than the one that is frozen comes from a coordinator that has
  // lost track; the right one follows.
  if (AwaitsVerdict(state_) && settle.checkpoint() != checkpoint_) {
    log::Warn("stale-verdict", {{"checkpoint", settle.checkpoint()}, {"frozen", checkpoint_}});
    return;
  }
  const Input input = settle.how() == v1::Settle::RELEASE ? Input::kSettleRelease
                      : settle.how() == v1::Settle::ABORT ? Input::kSettleAbort
                                                          : Input::kSettleResume;
  if (Next(state_, input)) verdict_ = settle;
  // Of a checkpoint that was given up before this pod was to freeze.
  if (state_ == State::kRunning && input == Input::kSettleAbort)
    Background("precopy", [this] { return operations_.DropPrecopy(); });
  Apply(input);
}

// What is answered is a promise: from now on it waits for as long again.
void Lifecycle::OnStay(const v1::Stay& stay) {
  if (state_ != State::kPrepared || stay.checkpoint() != checkpoint_) return;
  verdict_awaited_ = now_();
  v1::FromWarden message;
  message.mutable_stays()->set_checkpoint(stay.checkpoint());
  message.mutable_stays()->set_round(stay.round());
  channel_.Send(std::move(message));
}

void Lifecycle::OnConfirm(const v1::Confirm& confirm) {
  if (state_ != State::kStored || confirm.checkpoint() != checkpoint_ || confirm.round() != round_)
    return;
  // The others' promises are no older than the question.
  if (now_() - asked_ > job_.config.node.coordinator_patience / 2) return SayStored();
  Apply(Input::kConfirm);
}

void Lifecycle::OnLink() {
  const auto frame = link_.Receive();
  if (!frame) {
    // Slurm has ended the task, so it is ending the step.
    log::Info("task-gone", {{"why", frame.error().message()}});
    farewell_ = pod::Frame{};
    return;
  }
  if (frame->type != pod::FrameType::kSignal) return;
  if (frame->signal == SIGTSTP) operations_.StandStill();
  signals_.Take({.signal = frame->signal, .scope = frame->scope});
}

void Lifecycle::OnTimers() {
  const auto now = now_();
  signals_.Tire(state_);

  // A frozen pod without a coordinator goes on after a while. That is safe: what it saved stays, so
  // a commit that has been decided holds; and none can be decided from now on, because pod 0 writes
  // the manifest only if every pod has promised to stay (OnStay), and within that time.
  // WithdrawHello makes sure that the coordinator does not take this one for PREPARED.
  const auto away = channel_.away_since();
  if (verdict_awaited_ && away &&
      now - std::max(*away, *verdict_awaited_) > job_.config.node.coordinator_patience &&
      channel_.WithdrawHello()) {
    log::Warn("patience-over", {{"checkpoint", checkpoint_}});
    verdict_.Clear();
    Apply(Input::kPatienceOver);
  }

  // One that is there decides: it may have to find out first whether a lost node is behind it.
  if (end_told_ && away && now - std::max(*away, *end_told_) > kEndedPatience) Leave(Farewell());
}

void Lifecycle::Apply(Input input) {
  const auto step = Next(state_, input);
  if (!step) {
    log::Warn("unexpected", {{"state", Name(state_)}, {"input", Name(input)}});
    return;
  }
  if (step->next != state_)
    log::Info("state", {{"from", Name(state_)}, {"to", Name(step->next)}, {"by", Name(input)}});
  state_ = step->next;
  if (!AwaitsVerdict(state_))
    verdict_awaited_.reset();
  else if (!verdict_awaited_)
    verdict_awaited_ = now_();
  SayHello();
  Do(step->action);
}

void Lifecycle::Do(Action action) {
  v1::FromWarden message;
  switch (action) {
    case Action::kNothing:
      return;
    case Action::kCreate:
      return Perform([this] { return operations_.Create(request_.welcome()); });
    case Action::kStart:
      return Perform([this] { return operations_.Start(); });
    case Action::kSave:
      return Perform([this] { return operations_.Save(request_.prepare()); });
    case Action::kCommit:
      return Perform([this] { return operations_.Commit(request_.commit()); });
    case Action::kSeal:
      return Perform([this, deadline = asked_ + job_.config.node.coordinator_patience] {
        return operations_.Seal(deadline);
      });
    case Action::kResume:
      return Perform([this] { return operations_.Resume(/*drop=*/false); });
    case Action::kResumeAbort:
      return Perform([this] { return operations_.Resume(/*drop=*/true); });
    case Action::kRelease:
      return Perform([this] { return operations_.Release(); });
    case Action::kSayReady:
      message.mutable_ready();
      break;
    case Action::kSayRunning:
      message.mutable_running();
      signals_.DeliverKept(state_);
      break;
    case Action::kSayPrepared:
      *message.mutable_prepared() = operations_.prepared();
      break;
    case Action::kSayStored:
      return SayStored();
    case Action::kSayCommitted:
      tidy_ = true;
      message.mutable_committed()->set_checkpoint(checkpoint_);
      for (const v1::Saved& saved : operations_.saved())
        *message.mutable_committed()->add_saved() = saved;
      break;
    case Action::kSayFailed:
      return SayFailed();
    case Action::kSaySettled:
      return SaySettled();
    case Action::kSayEnded:
      return SayEnded();
    case Action::kSayDamaged:
      return GiveUpDamaged();
    case Action::kEnd:
      return End();
  }
  channel_.Send(std::move(message));
}

void Lifecycle::Perform(Runner::Task task) {
  worker_.Run(std::move(task), [this](const Status& status) {
    if (status) return Apply(Input::kDone);
    const auto damage = operations_.damage();
    if (state_ == State::kStarting && damage)
      NoteFailure(v1::PHASE_RUNNING, *damage);
    else
      NoteFailure(PhaseOfFailure(state_), status.error());
    Apply(Input::kFailed);
  });
}

void Lifecycle::Background(const char* what, Runner::Task task) {
  worker_.Run(std::move(task), [what](const Status& status) {
    if (!status) log::Failure(what, status.error());
  });
}

void Lifecycle::NoteFailure(v1::Phase phase, const Error& error) {
  log::Failure("failed", error, {{"state", Name(state_)}});
  failed_.emplace();
  failed_->set_phase(phase);
  if (phase == v1::PHASE_PREPARING || phase == v1::PHASE_PREPARED)
    failed_->set_checkpoint(checkpoint_);
  failed_->set_code(std::string(CodeName(error.code())));
  failed_->set_message(error.message());
  failed_->set_log(operations_.log_path());
}

void Lifecycle::GiveUpDamaged() {
  NoteFailure(v1::PHASE_RUNNING, *operations_.damage());
  SayFailed();
  Background("kill", [this] { return operations_.Release(); });
}

void Lifecycle::End() {
  const auto status = operations_.TakeExit();
  ended_.emplace();
  if (!status) {
    ended_->set_signal(SIGKILL);
    ended_->set_message(status.error().message());
  } else {
    // Of a script that does not mind the loss nobody else needs to hear.
    out_of_memory_ = !status->ok() && operations_.ran_out_of_memory();
    ended_->set_exit_code(status->code);
    ended_->set_signal(status->signal);
    // Other pods end well only after pod 0's; that is no failure of the step.
    if (job_.pod() != 0 && !status->ok())
      ended_->set_message("pod-root ended: " + status->ToString());
  }
  log::Info("ended", {{"code", ended_->exit_code()},
                      {"signal", ended_->signal()},
                      {"message", ended_->message()}});
  // What the script has left running goes first, as at the end of any batch job: when the other
  // pods hear of the end and go, nothing here may be left to see its connections break and say so.
  worker_.Run([this] { return operations_.Release(); },
              [this](const Status& killed) {
                if (!killed) log::Failure("kill", killed.error());
                end_told_ = now_();
                SayEnded();
              });
}

void Lifecycle::Leave(const pod::Frame& farewell) {
  end_told_.reset();
  farewell_ = farewell;
  if (worker_.busy()) return;  // called again when it is idle
  if (std::exchange(remove_checkpoints_, false)) {
    Background("remove-checkpoints", [this] { return operations_.RemoveCheckpoints(); });
    return;
  }
  // The task ends on this, and Slurm ends the step after it: nothing may be left to do.
  if (farewell.type != pod::FrameType{})
    if (const Status told = link_.Send(farewell); !told) log::Failure("farewell", told.error());
  left_ = true;
}

}  // namespace holdfast::warden
