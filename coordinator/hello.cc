// A pod's Hello, as far as it means the same in several stages. start.cc has what it means before
// the job runs, save.cc while it does.
#include <fmt/format.h>

#include <algorithm>

#include "coordinator/state.h"
#include "coordinator/transitions.h"

namespace holdfast::coordinator {

bool AreTwoJobs(const Job& known, const v1::Hello& hello) {
  return !known.submitted.empty() && !hello.submitted().empty() &&
         hello.submitted() != known.submitted;
}

bool IsNewJob(const Job& known, const v1::Hello& hello) {
  if (AreTwoJobs(known, hello))
    return hello.phase() == v1::PHASE_FRESH || hello.submitted() > known.submitted;
  if (hello.phase() != v1::PHASE_FRESH) return false;
  return hello.restart_count() < known.start.restart_count ||
         (known.stage == Stage::kEnded && hello.restart_count() == known.start.restart_count);
}

bool NoteHello(Turn& turn, const v1::Hello& hello) {
  Job& job = turn.job;
  if (hello.restart_count() < job.start.restart_count) {
    turn.refusal = fmt::format("start {} is over; start {} is under way", hello.restart_count(),
                               job.start.restart_count);
    return false;
  }
  if (hello.pods() != job.pods.size() || hello.pod() >= job.pods.size()) {
    turn.refusal = fmt::format("pod {} of {} does not fit a job of {} pods", hello.pod(),
                               hello.pods(), job.pods.size());
    return false;
  }
  Pod& pod = turn.pod();
  job.start.nodes[hello.pod()] = hello.node();
  pod.address = hello.address();
  pod.mtu = hello.mtu();
  pod.notice_seconds = hello.notice_seconds();
  job.limit.warning_seconds = hello.warning_seconds();
  pod.connected = true;
  pod.welcomed = false;
  pod.awaited = false;
  pod.phase = hello.phase();
  pod.asks = hello.asks_before_commit();
  pod.stays = false;
  // It says where it is only while it does not write the manifest.
  if (hello.pod() == 0) job.commit_sent = job.confirmed = false;
  if (hello.pod() == 0) job.commit_round = 0;
  pod.part.reset();
  if (hello.has_prepared()) pod.part = hello.prepared().part();
  job.cluster = hello.cluster();
  job.submitted = hello.submitted();
  job.next_checkpoint =
      std::max({job.next_checkpoint, hello.checkpoint() + 1, hello.committed() + 1});
  return true;
}

void Greet(Turn& turn) {
  Job& job = turn.job;
  if (turn.pod().phase != v1::PHASE_FRESH) turn.Tell(turn.event.pod, CredentialOnly());
  if (!job.all_connected()) return;
  TrustAgain(turn);
  turn.Do(Disarm{TimerKind::kReconnect});
  if (job.start.doubted_end) turn.Do(Arm{TimerKind::kEnd, turn.policy.end_doubt});
}

bool ComesBack(Turn& turn, const v1::Hello& hello) {
  if (!NoteHello(turn, hello)) return false;
  if (hello.phase() == v1::PHASE_FRESH) {
    Suspect(turn, turn.Name(hello.pod()) + ": its pod does not exist any more");
    return false;
  }
  Greet(turn);
  return true;
}

void OnHelloGone(Turn& turn, const v1::Hello& hello) {
  // Slurm ends what is left.
  if (NoteHello(turn, hello) && hello.phase() != v1::PHASE_FRESH) Greet(turn);
}

void OnHelloEnding(Turn& turn, const v1::Hello& hello) {
  if (!NoteHello(turn, hello)) return;
  if (hello.phase() != v1::PHASE_FRESH) Greet(turn);
  TellTheEnd(turn, hello.pod());
}

void OnHelloEnded(Turn& turn, const v1::Hello& hello) {
  if (!NoteHello(turn, hello) || hello.phase() == v1::PHASE_FRESH) return;
  Greet(turn);
  TellTheEnd(turn, hello.pod());
}

}  // namespace holdfast::coordinator
