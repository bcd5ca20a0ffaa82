// The functions behind the table of state.cc, and what they share. Used by nothing else.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "coordinator/event.h"
#include "coordinator/job.h"

namespace holdfast::coordinator {

// One step under way: the job, what happened, and what is to be done so far.
struct Turn {
  Job& job;
  const Event& event;
  const Policy& policy;
  std::vector<Action> actions;
  // Set: the step is undone, and this is why. For events that may be refused (MayBeRefused in
  // state.cc).
  std::string refusal;

  int64_t now() const { return event.unix_ns; }
  Pod& pod() const { return job.pods[event.pod]; }
  template <typename A>
  void Do(A action) {
    actions.emplace_back(std::move(action));
  }
  // If it is connected. Its warden believes nobody before it has been welcomed, so it is first.
  void Tell(uint32_t pod, v1::ToWarden message);
  void Tell(uint32_t pod, std::shared_ptr<const v1::ToWarden> message);
  void TellAll(const v1::ToWarden& message);
  // Enters a stage and arms its time limit; 0: none.
  void Enter(Stage stage, std::chrono::milliseconds limit = {});
  // The stage has so much time from now on; 0: as much as it takes.
  void Limit(std::chrono::milliseconds limit);
  void Mark(std::string name, int64_t duration_ns = 0, std::string detail = "");
  // "pod 2 on n3"; "pod 2" if it has never come.
  std::string Name(uint32_t pod) const;
  std::string Names(const std::vector<uint32_t>& pods) const;
  std::vector<uint32_t> PodsThat(bool (*are)(const Pod&)) const;
  // What follows from it at once: what the table has for that, as if it had happened next.
  void Follow(decltype(Event::body) body);
};

// A Welcome to one that is welcome already, or whose pod is told something else.
v1::ToWarden CredentialOnly();

// hello.cc: a warden comes, or comes back.
// Takes note of what every Hello tells. False: it is refused.
bool NoteHello(Turn&, const v1::Hello&);
// Answers it, and if nobody is away now, nobody is missed any more.
void Greet(Turn&);
// Both, once pods exist. False: it is refused, or its pod does not exist any more.
bool ComesBack(Turn&, const v1::Hello&);
void OnHelloGone(Turn&, const v1::Hello&);
void OnHelloEnding(Turn&, const v1::Hello&);
void OnHelloEnded(Turn&, const v1::Hello&);

// start.cc: from Hello to running.
void OnNewStart(Turn&, const v1::Hello&);
// A new job's, or Slurm requeued it without our doing and it is back before the poll saw it
// pending.
void OnUnforeseenStart(Turn&, const v1::Hello&);
void OnHelloGathering(Turn&, const v1::Hello&);
void OnHelloPreparing(Turn&, const v1::Hello&);
void OnHelloStarting(Turn&, const v1::Hello&);
void OnReady(Turn&, const v1::Ready&);
void OnRunning(Turn&, const v1::Running&);
// It runs, and what was wished for meanwhile is begun.
void GoOn(Turn&);

// failed_start.cc
// Also of memory that a restore still owed: its pod has been killed, and nothing was saved since.
void OnFailedStart(Turn&, const v1::Failed&);
void OnFailedStarting(Turn&, const v1::Failed&);
void OnGatheringTimeout(Turn&, const Timer&);
void OnPreparingTimeout(Turn&, const Timer&);
void OnStartingTimeout(Turn&, const Timer&);

// spread.cc: on another number of nodes.
// How many different nodes its pods are on.
size_t CountNodes(const Job&);
// Why it cannot be on so many nodes.
std::optional<std::string> WhyNotOn(const Job&, uint32_t nodes);
// For its next start, if it is going to be restored.
void AskForNodes(Turn&);
// Its wardens are as many as its nodes, and its pods are not: they are to come anew.
void Regroup(Turn&);
// A warden of before that has not heard of it: it is told again.
bool RegroupsAgain(Turn&, const v1::Hello&);

// intervals.cc: how often it is saved, and what is learnt from what it meets with.
void OnInterval(Turn&, const Timer&);
// The job goes on: from now on it runs, and the next periodic checkpoint is due when it pays.
void PlanInterval(Turn&);
// Counts how long the job has run since PlanInterval, and whether it was interrupted now.
void CountTime(Turn&, bool interrupted);
// Whether a job that leaves its nodes for that reason had them taken from it.
bool IsInterruption(Reason reason);

// time_limit.cc: it is saved before its time limit, and goes on with a fresh one.
void OnTimeLimit(Turn&, const Timer&);
// Takes note of when Slurm will end it.
void NoteTimeLimit(Turn&, const Record&);
// When it is to be saved for that, from what it costs.
void PlanTimeLimit(Turn&);
// It is being saved to be requeued at its time limit, or is to be at once.
bool IsBeingRenewed(const Job&);

// wish.cc: what somebody wants done with it.
void OnWishUnstarted(Turn&, const Wish&);
void OnWishStarting(Turn&, const Wish&);
void OnWishRunning(Turn&, const Wish&);
void OnWishPrecopying(Turn&, const Wish&);
void OnWishSaving(Turn&, const Wish&);
void OnWishSettling(Turn&, const Wish&);
// Of a job without processes.
void OnWishGone(Turn&, const Wish&);
void OnRetry(Turn&, const Timer&);
void Begin(Turn&, const Wish&);
// Begins what was wished for while it could not be.
void GrantWish(Turn&);
// The checkpoint failed and the job runs on. If it must leave, that is tried once more; then the
// job gets the signal that it would have got without Holdfast, and the checkpoint before this one
// stands.
void Regret(Turn&, const Checkpoint& failed);

// save.cc: checkpoints.
void OnPrepared(Turn&, const v1::Prepared&);
void OnStored(Turn&, const v1::Stored&);
// Its checkpoint has been given up.
void OnStoredLate(Turn&, const v1::Stored&);
void OnStays(Turn&, const v1::Stays&);
void OnCommitted(Turn&, const v1::Committed&);
void OnSettled(Turn&, const v1::Settled&);
// That was not waited for: the job runs on already.
void OnSettledLate(Turn&, const v1::Settled&);
void OnFailedFreezing(Turn&, const v1::Failed&);
void OnFailedCommitting(Turn&, const v1::Failed&);
void OnFailedSettling(Turn&, const v1::Failed&);
void OnFreezingTimeout(Turn&, const Timer&);
void OnCommittingTimeout(Turn&, const Timer&);
void OnSettlingTimeout(Turn&, const Timer&);
void OnLostSaving(Turn&, const Lost&);
void OnLostSettling(Turn&, const Lost&);
void OnHelloRunning(Turn&, const v1::Hello&);
void OnHelloFreezing(Turn&, const v1::Hello&);
void OnHelloCommitting(Turn&, const v1::Hello&);
void OnHelloSettling(Turn&, const v1::Hello&);
// The pod is there, in whatever phase, and the job runs.
void RunOn(Turn&, const v1::Hello&);
// Every pod is to cut, freeze and save now.
void Freeze(Turn&);
void Abort(Turn&, Code, const std::string& why);

// precopy.cc: storing memory before the freeze.
void CopyAhead(Turn&);
// Whatever has been stored by now, they freeze.
void EndPrecopy(Turn&);
void OnPrecopied(Turn&, const v1::Precopied&);
void OnPrecopyingTimeout(Turn&, const Timer&);
void OnHelloPrecopying(Turn&, const v1::Hello&);

// notice.cc: signals and preemption.
void OnNotice(Turn&, const v1::Notice&);
void OnNoticeRunning(Turn&, const v1::Notice&);
void OnNoticeTimer(Turn&, const Timer&);
// The job runs, as Slurm says: is it being preempted?
void ConsiderRecord(Turn&, const Record&);
// When the first signal came that may mean preemption; if none has, now.
int64_t NoticedAt(const Turn&);
// Pods get the signals that were held back.
void DeliverPending(Turn&);

// eviction.cc: Slurm takes it away without a grace time.
// Slurm is ending this start, so that the job may go on elsewhere.
bool IsEvicted(const Turn&, const Record&);
// It is saved, if there is time.
void Evict(Turn&, const Record&);
// Slurm has ended it as PREEMPTED, and the site wants such jobs to go on, or as TIMEOUT when it had
// been saved and was about to be requeued; and it has a checkpoint to go on from, or may have.
bool GoesOn(const Turn&, const Record&);

// retention.cc: checkpoints of a job that has ended.
void OnKept(Turn&, const Timer&);
void OnRemoved(Turn&, const Removed&);
void OnRemovedEnded(Turn&, const Removed&);
// Never the newest one of a job that has not ended, nor one that is being read.
void OnUnwant(Turn&, const Unwant&);
void OnUnwantEnded(Turn&, const Unwant&);
// The script ended, well or not, which decides what becomes of its checkpoints.
void NoteEnd(Turn&, bool well);
// They are kept, for as long as they are to be.
void KeepForATime(Turn&);

// leave.cc: off its nodes, and back.
// Off its nodes and back into the queue.
void Leave(Turn&, Reason reason);
// Of this start; also once more, if Slurm seems not to have heard of it.
void AskForRequeue(Turn&);
void Hold(Turn&, const std::string& why);
// As Leave, when Slurm has requeued it already.
void Depart(Turn&, Reason reason);
// A checkpoint in flight is dropped from the job; the next start's Hello tells whether it exists.
void GiveUpCheckpoint(Turn&, const std::string& why);
void DisarmRunTimers(Turn&);
// What becomes of it at its next start, if it has run and no checkpoint of it can be restored.
enum class Prospect { kStartOver, kHold, kEnd };
Prospect ProspectOf(const Job&);
// More nodes are known that lack what it needs.
void OnKin(Turn&, const Kin&);
void OnKinWaiting(Turn&, const Kin&);
// What ExcNodeList is to become, unless it is known to be that already: `present` in Slurm's
// record.
std::optional<std::vector<std::string>> ChangeExclusions(
    Job&, std::optional<std::vector<std::string>> present);
// Slurm runs the job again, and nobody of it has said Hello.
void OnNoWarden(Turn&, const Timer&);
void OnAsk(Turn&, const Timer&);
void OnRequeueResult(Turn&, const RequeueResult&);
void OnResume(Turn&, const Resume&);
void OnResumeElsewhere(Turn&, const Resume&);
// Another process has taken the job up: all wardens are away.
void OnRestarted(Turn&, const Restarted&);
void OnRestartedGathering(Turn&, const Restarted&);
void OnRestartedActive(Turn&, const Restarted&);
void OnRestartedRunning(Turn&, const Restarted&);
void OnRestartedLeaving(Turn&, const Restarted&);
void OnRestartedEnding(Turn&, const Restarted&);
void OnRestartedEnded(Turn&, const Restarted&);

// records.cc: what Slurm says.
void OnRecordActive(Turn&, const Record&);
void OnRecordLeaving(Turn&, const Record&);
void OnRecordWaiting(Turn&, const Record&);
void OnRecordHeld(Turn&, const Record&);
void OnRecordEnding(Turn&, const Record&);
// What is left of it on its nodes ends, and it follows its record.
void Abandon(Turn&, const Record&);

// doubt.cc: finding out that a job is broken.
void OnLost(Turn&, const Lost&);
// Nobody is missed there yet, or any more.
void OnLostQuietly(Turn&, const Lost&);
void OnNotBack(Turn&, const Timer&);
void OnNotBackGathering(Turn&, const Timer&);
void OnNotBackSaving(Turn&, const Timer&);
void OnNotBackCommitting(Turn&, const Timer&);
void Suspect(Turn&, const std::string& why);
// The same, if all that is known is that a warden has not been heard of.
void SuspectSilence(Turn&, const std::string& why);
// A warden has been heard of again: such a suspicion is withdrawn.
void TrustAgain(Turn&);
// Slurm has suspended the job: its silence means nothing, and no time passes for it.
void StandStill(Turn&);
// Slurm lets it go on: its wardens have their time again, and so has what it is at.
void MoveAgain(Turn&);
// Slurm says that the job runs, but it has lost a part of itself.
void Break(Turn&);

// ending.cc: by its script, or because it cannot go on.
void OnEnded(Turn&, const v1::Ended&);
void OnEndedSaving(Turn&, const v1::Ended&);
void OnEndedSettling(Turn&, const v1::Ended&);
// The script ended, and no node has been missed since.
void OnEndBelieved(Turn&, const Timer&);
void OnEndingTimeout(Turn&, const Timer&);
// What Slurm says of the job shows whether its script has ended by itself. False: it has not ended.
bool EndIfBelieved(Turn&, const Record&);
// The end of the script that was doubted is a lost node's doing.
void BlameLostNode(Turn&);
// Slurm may have noted that its script is not to be started again: then its pods may go.
void NoteForbidden(Turn&, const Record&);
// A pod of an ending job may go: Finish or, if it was refused, Refuse.
void TellTheEnd(Turn&, uint32_t pod);
// Its wardens end it with this message.
void RefuseAll(Turn&, const std::string& why);

}  // namespace holdfast::coordinator
