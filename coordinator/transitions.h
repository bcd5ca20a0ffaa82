// The functions behind the table of state.cc, and what they share. Used by nothing else.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "coordinator/event.h"
#include "coordinator/job.h"

namespace holdfast::coordinator {

// One step under way: the job, what happened, and what is to be done so far.
struct Turn {
  Job& job;
  const Event& event;
  const Policy& policy;
  std::vector<Action> actions;
  std::string refusal;  // set: the step is undone, and this is why

  int64_t now() const { return event.unix_ns; }
  Pod& pod() const { return job.pods[event.pod]; }
  template <typename A>
  void Do(A action) {
    actions.emplace_back(std::move(action));
  }
  void Tell(uint32_t pod, v1::ToWarden message);  // if it is connected
  void TellAll(const v1::ToWarden& message);
  // Enters a stage and arms its time limit; 0: none.
  void Enter(Stage stage, std::chrono::milliseconds limit = {});
  void Mark(std::string name, int64_t duration_ns = 0, std::string detail = "");
  // "pod 2 on n3"
  std::string Name(uint32_t pod) const;
};

// start.cc: from Hello to running.
void OnHello(Turn&, const v1::Hello&);
void OnReady(Turn&, const v1::Ready&);
void OnRunning(Turn&, const v1::Running&);
// By what failed: a start, a checkpoint, or what a restore still owed.
void OnFailed(Turn&, const v1::Failed&);
void OnStartTimeout(Turn&, const Timer&);
void EnterRunning(Turn&);

// intervals.cc: how often it is saved, and what is learnt from what it meets with.
void OnInterval(Turn&, const Timer&);
// The job goes on: from now on it runs, and the next periodic checkpoint is due when it pays.
void PlanInterval(Turn&);
// Counts how long the job has run since PlanInterval, and whether it was interrupted now.
void CountTime(Turn&, bool interrupted);
// Whether a job that leaves its nodes for that reason had them taken from it.
bool IsInterruption(Reason reason);

// save.cc: checkpoints.
void OnWish(Turn&, const Wish&);
void OnRetry(Turn&, const Timer&);
void OnPrepared(Turn&, const v1::Prepared&);
void OnCommitted(Turn&, const v1::Committed&);
void OnSettled(Turn&, const v1::Settled&);
void OnSaveFailed(Turn&, const v1::Failed&);
void OnSaveTimeout(Turn&, const Timer&);
void OnLostFreezing(Turn&, const Lost&);
void OnLostSettling(Turn&, const Lost&);
// A pod came back in the middle of a checkpoint.
void Reconcile(Turn&, const v1::Hello&);
void Begin(Turn&, const Wish&);
// Every pod is to cut, freeze and save now.
void Freeze(Turn&);
// Begins what was wished for while it could not be.
void GrantWish(Turn&);
void Abort(Turn&, const std::string& why);

// precopy.cc: storing memory before the freeze.
void CopyAhead(Turn&);
void OnPrecopied(Turn&, const v1::Precopied&);
void OnPrecopyTimeout(Turn&, const Timer&);
// A pod came back in the middle of it.
void ResumePrecopy(Turn&, const v1::Hello&);

// notice.cc: signals and preemption.
void OnNotice(Turn&, const v1::Notice&);
void OnNoticeTimer(Turn&, const Timer&);
// The job runs, as Slurm says: is it being preempted?
void ConsiderRecord(Turn&, const Record&);
// Pods get the signals that were held back.
void DeliverPending(Turn&);

// retention.cc: checkpoints of a job that has ended.
void OnKept(Turn&, const Timer&);
void OnRemoved(Turn&, const Removed&);
// The script ended, well or not, which decides what becomes of its checkpoints.
void NoteEnd(Turn&, bool well);
// They are kept, for as long as they are to be.
void KeepForATime(Turn&);

// leave.cc: off its nodes, and back.
// Off its nodes and back into the queue.
void Leave(Turn&, Reason reason);
void Hold(Turn&, const std::string& why);
// As Leave, when Slurm has requeued it already.
void Depart(Turn&, Reason reason);
// A checkpoint in flight is dropped from the job; the next start's Hello tells whether it exists.
void GiveUpCheckpoint(Turn&, const std::string& why);
void DisarmRunTimers(Turn&);
// What ExcNodeList is to become, if that is not what it is.
std::optional<std::vector<std::string>> ChangeExclusions(Job&, std::vector<std::string> present);
// Slurm runs the job again, and nobody of it has said Hello.
void OnNoWarden(Turn&, const Timer&);
void OnAsk(Turn&, const Timer&);
void OnRequeueResult(Turn&, const RequeueResult&);
void OnResume(Turn&, const Resume&);
void OnRestarted(Turn&, const Restarted&);

// records.cc: what Slurm says.
void OnRecordActive(Turn&, const Record&);
void OnRecordLeaving(Turn&, const Record&);
void OnRecordWaiting(Turn&, const Record&);
void OnRecordEnding(Turn&, const Record&);

// doubt.cc: finding out that a job is broken.
void OnLost(Turn&, const Lost&);
void OnReconnectTimeout(Turn&, const Timer&);
void Suspect(Turn&, const std::string& why);
// Slurm says that the job runs, but it has lost a part of itself.
void Break(Turn&);

// ending.cc: by its script, or because it cannot go on.
void OnEnded(Turn&, const v1::Ended&);
// The script ended, and no node has been missed since.
void OnEndBelieved(Turn&, const Timer&);
void OnEndingTimeout(Turn&, const Timer&);
// The end of the script that was doubted is a lost node's doing.
void BlameLostNode(Turn&);
// A pod of an ending job may go: Finish or, if it was refused, Refuse.
void TellTheEnd(Turn&, uint32_t pod);
// Its wardens end it with this message.
void RefuseAll(Turn&, const std::string& why);

}  // namespace holdfast::coordinator
