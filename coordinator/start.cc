// From the Hellos of a start to a running job. What is restored is decided here: storage's word, as
// pod 0 brings it, on what exists; the journal's on what the job has already done.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "base/result.h"
#include "coordinator/job_codec.h"
#include "coordinator/transitions.h"

namespace holdfast::coordinator {
namespace {

// Outer IPv4 + UDP + VXLAN + inner Ethernet headers: RFC 7348.
constexpr uint32_t kVxlanOverheadBytes = 50;

// Failures that another node would not mend.
bool IsPermanent(Code code) {
  return code == Code::kInvalid || code == Code::kDenied || code == Code::kNotFound ||
         code == Code::kNoSpace || code == Code::kChanged;
}

void BeginStart(Turn& turn, const v1::Hello& hello, JobOptions options) {
  Job& job = turn.job;
  if (IsActive(job.stage) && !job.pods.empty() && job.started) {
    // Slurm requeued it without our doing, and it is back before the poll saw it pending.
    job.move = Move{.number = ++job.moves,
                    .reason = Reason::kRequeued,
                    .from = job.nodes(),
                    .left_ns = turn.now()};
    CountTime(turn, /*interrupted=*/true);
  }
  for (const TimerKind kind :
       {TimerKind::kReconnect, TimerKind::kInterval, TimerKind::kNotice, TimerKind::kRetry,
        TimerKind::kAsk, TimerKind::kEnd, TimerKind::kKept})
    turn.Do(Disarm{kind});
  job.options = std::move(options);
  job.checkpoint.reset();
  job.start = Start{.restart_count = hello.restart_count(),
                    .nodes = std::vector<std::string>(hello.pods())};
  job.departure = {};
  job.aftermath = {};
  static_cast<Live&>(job) = Live{.pods = std::vector<Pod>(hello.pods()),
                                 .since_ns = turn.now(),
                                 .awaited_start = hello.restart_count()};
  // A wish for other nodes has been granted; nodes where it failed are still to be avoided.
  if (job.attempts == 0) job.exclusions.next.clear();
  turn.Enter(Stage::kGathering, turn.policy.gather_timeout);
}

v1::ToWarden MakeWelcome(const Job& job) {
  v1::ToWarden message;
  v1::Welcome& welcome = *message.mutable_welcome();
  v1::Network& network = *welcome.mutable_network();
  uint32_t mtu = UINT32_MAX;
  for (uint32_t i = 0; i < job.pods.size(); ++i) {
    const Pod& pod = job.pods[i];
    mtu = std::min(mtu, pod.mtu);
    v1::Peer& peer = *network.add_peers();
    peer.set_pod(i);
    peer.set_address(pod.address);
    peer.set_node(job.nodes()[i]);
    if (i < job.hostnames.size()) peer.set_hostname(job.hostnames[i]);
  }
  network.set_vni(job.vni);
  network.set_mtu(mtu - std::min(mtu, kVxlanOverheadBytes));
  welcome.set_restore_job(job.start.restore_job);
  welcome.set_restore_checkpoint(job.start.restore_checkpoint);
  return message;
}

void Welcome(Turn& turn) {
  Job& job = turn.job;
  if (job.move) {
    job.move->to = job.nodes();
    job.move->chosen_ns = turn.now();
    job.move->checkpoint = job.start.restore_checkpoint;
    turn.Do(SaveMove{*job.move});
  }
  turn.Mark("nodes", 0, fmt::format("{}", fmt::join(job.nodes(), ",")));
  if (job.start.restore_job == 0 && job.hostnames.size() != job.pods.size())
    job.hostnames = job.nodes();
  turn.Enter(Stage::kPreparing, turn.policy.phase_timeout);
  turn.TellAll(MakeWelcome(job));
}

// All wardens are there: fresh, or which checkpoint?
void Decide(Turn& turn) {
  Job& job = turn.job;
  job.start.restore_job = job.start.restore_checkpoint = 0;
  const bool wanted_exists = std::ranges::contains(job.saved, job.request.checkpoint);
  const uint32_t own = wanted_exists ? job.request.checkpoint : job.newest();
  if (job.request.from_start) return Welcome(turn);
  if (job.request.checkpoint != 0 && !wanted_exists)
    return Hold(turn, fmt::format("there is no checkpoint {}; there are {}", job.request.checkpoint,
                                  fmt::join(job.saved, ",")));
  if (own != 0) {
    job.start.restore_job = job.id;
    job.start.restore_checkpoint = own;
    return Welcome(turn);
  }
  if (job.started)
    return Hold(turn,
                fmt::format("no committed checkpoint to restore{}; "
                            "`holdfast resume {} --from-start` starts it over",
                            job.bad.empty() ? "" : " but damaged ones: " + job.last_error, job.id));
  if (job.options.restore_from) {
    job.start.restore_job = job.options.restore_from->job;
    job.start.restore_checkpoint = job.options.restore_from->checkpoint;
  }
  Welcome(turn);
}

// The one before is restored, but not without a word.
void NoteDamage(Turn& turn, const v1::Hello& hello) {
  Job& job = turn.job;
  for (const v1::Damaged& damaged : hello.damaged()) {
    if (damaged.number() < job.first_checkpoint) continue;
    if (!std::ranges::contains(job.bad, damaged.number())) job.bad.push_back(damaged.number());
    job.last_error = fmt::format("checkpoint {}: {}", damaged.number(), damaged.message());
    turn.Mark("damaged", 0, job.last_error);
  }
}

void StartAll(Turn& turn) {
  Job& job = turn.job;
  if (!job.all_connected() || !job.all_in(v1::PHASE_READY)) return;
  if (job.start.restore_job != 0) turn.Mark("restored");
  if (job.move) {
    job.move->restored_ns = turn.now();
    turn.Do(SaveMove{*job.move});
  }
  job.started = true;
  turn.Enter(Stage::kStarting, turn.policy.settle_timeout);
  v1::ToWarden message;
  message.mutable_start();
  turn.TellAll(message);
}

// A start came to nothing: no process of it has run, or none that has counts.
void FailStart(Turn& turn, Code code, const std::string& why, const std::string& node) {
  Job& job = turn.job;
  const bool restoring = job.start.restore_job != 0;
  turn.Mark(restoring ? "restore-failed" : "start-failed", 0, why);
  const bool own = job.start.restore_job == job.id;
  if (own && code == Code::kCorrupt) {
    job.bad.push_back(job.start.restore_checkpoint);
    job.request.checkpoint = 0;
    job.last_error = why;
    if (job.newest() == 0) return Hold(turn, why);
    return Leave(turn, Reason::kRestore);
  }
  if (IsPermanent(code) || (restoring && code == Code::kCorrupt)) {
    if (own || code == Code::kChanged || job.started) return Hold(turn, why);
    return RefuseAll(turn, why);
  }
  if (++job.attempts >= turn.policy.restore_attempts) {
    const std::string given_up =
        fmt::format("{} (attempt {} of {})", why, job.attempts, turn.policy.restore_attempts);
    return restoring || job.started ? Hold(turn, given_up) : RefuseAll(turn, given_up);
  }
  job.last_error = why;
  if (!node.empty()) AddNodes(job.exclusions.next, {node});
  Leave(turn, restoring ? Reason::kRestore : Reason::kStart);
}

// A pod's stream is back in this same start.
void Reattach(Turn& turn, const v1::Hello& hello) {
  Job& job = turn.job;
  const uint32_t pod = turn.event.pod;
  if (hello.phase() != v1::PHASE_FRESH) {
    v1::ToWarden credential_only;
    credential_only.mutable_welcome();
    turn.Tell(pod, std::move(credential_only));
  } else if (job.stage != Stage::kPreparing) {
    if (IsActive(job.stage)) Suspect(turn, turn.Name(pod) + ": its pod does not exist any more");
    if (job.stage == Stage::kEnding) TellTheEnd(turn, pod);
    return;
  }
  if (job.all_connected()) {
    turn.Do(Disarm{TimerKind::kReconnect});
    if (job.start.doubted_end) turn.Do(Arm{TimerKind::kEnd, turn.policy.end_doubt});
  }
  switch (job.stage) {
    case Stage::kPreparing:
      // Addresses of all are known only when all are there.
      if (!job.all_connected()) return;
      for (uint32_t i = 0; i < job.pods.size(); ++i)
        if (job.pods[i].phase == v1::PHASE_FRESH) turn.Tell(i, MakeWelcome(job));
      return StartAll(turn);
    case Stage::kStarting:
      if (hello.phase() == v1::PHASE_READY) {
        v1::ToWarden message;
        message.mutable_start();
        turn.Tell(pod, message);
      }
      if (job.all_in(v1::PHASE_RUNNING)) EnterRunning(turn);
      return;
    default:
      return Reconcile(turn, hello);
  }
}

}  // namespace

void OnHello(Turn& turn, const v1::Hello& hello) {
  Job& job = turn.job;
  if (hello.restart_count() < job.start.restart_count) {
    turn.refusal = fmt::format("start {} is over; start {} is under way", hello.restart_count(),
                               job.start.restart_count);
    return;
  }
  if (job.pods.empty() || hello.restart_count() > job.start.restart_count) {
    Result<JobOptions> options = OptionsOf(hello);
    if (!options) {
      turn.refusal = std::move(options).error().Wrap("the job's options").message();
      return;
    }
    BeginStart(turn, hello, std::move(*options));
  }
  if (hello.pods() != job.pods.size() || hello.pod() >= job.pods.size()) {
    turn.refusal = fmt::format("pod {} of {} does not fit a job of {} pods", hello.pod(),
                               hello.pods(), job.pods.size());
    return;
  }
  Pod& pod = turn.pod();
  job.start.nodes[hello.pod()] = hello.node();
  pod.address = hello.address();
  pod.mtu = hello.mtu();
  pod.notice_seconds = hello.notice_seconds();
  pod.connected = true;
  pod.awaited = false;
  pod.phase = hello.phase();
  if (hello.pod() == 0) job.commit_sent = false;
  pod.part.reset();
  if (hello.has_prepared()) pod.part = hello.prepared().part();
  job.next_checkpoint =
      std::max({job.next_checkpoint, hello.checkpoint() + 1, hello.committed() + 1});
  if (job.stage != Stage::kGathering) return Reattach(turn, hello);
  if (hello.phase() != v1::PHASE_FRESH) {
    // Only a lost journal makes a running job unknown: let it run on.
    job.started = true;
    job.stage = Stage::kRunning;
    return Reattach(turn, hello);
  }
  if (hello.pod() == 0) {
    uint32_t newest = job.next_checkpoint - 1;
    job.saved.clear();
    for (const v1::Saved& saved : hello.saved()) {
      newest = std::max(newest, saved.number());
      if (saved.number() >= job.first_checkpoint && saved.pods() == job.pods.size())
        job.saved.push_back(saved.number());
    }
    for (const v1::Damaged& damaged : hello.damaged()) newest = std::max(newest, damaged.number());
    job.next_checkpoint = newest + 1;
    if (job.start.restart_count == 0) {
      // Whatever lies there was left by an earlier job with this id.
      job.first_checkpoint = job.next_checkpoint;
      job.saved.clear();
    }
    NoteDamage(turn, hello);
  }
  if (job.all_connected()) Decide(turn);
}

void OnReady(Turn& turn, const v1::Ready&) {
  turn.pod().phase = v1::PHASE_READY;
  StartAll(turn);
}

void OnRunning(Turn& turn, const v1::Running&) {
  turn.pod().phase = v1::PHASE_RUNNING;
  if (turn.job.all_in(v1::PHASE_RUNNING)) EnterRunning(turn);
}

void EnterRunning(Turn& turn) {
  Job& job = turn.job;
  if (job.stage == Stage::kStarting) {
    turn.Mark("running");
    job.unsaved_ns = turn.now();
    if (job.move) {
      job.move->running_ns = turn.now();
      turn.Do(SaveMove{*job.move});
      job.move.reset();
    }
    job.exclusions.next.clear();
    job.request.from_start = false;
    job.request.checkpoint = 0;
    if (job.commented) turn.Do(Comment{""});
    job.commented = false;
  }
  turn.Enter(Stage::kRunning);
  PlanInterval(turn);
  GrantWish(turn);
}

void OnFailed(Turn& turn, const v1::Failed& failed) {
  const Stage stage = turn.job.stage;
  const bool memory = failed.phase() == v1::PHASE_RUNNING;
  if (!memory && (stage == Stage::kRunning || stage == Stage::kPrecopying))
    return;  // of what was given up meanwhile
  if (!memory && stage != Stage::kPreparing && stage != Stage::kStarting)
    return OnSaveFailed(turn, failed);
  const std::string why =
      fmt::format("{}{}: {}{}",
                  turn.job.start.restore_job == 0
                      ? std::string("starting")
                      : fmt::format("restoring checkpoint {} of job {}",
                                    turn.job.start.restore_checkpoint, turn.job.start.restore_job),
                  ": " + turn.Name(turn.event.pod), failed.message(),
                  failed.log().empty() ? "" : "; log: " + failed.log());
  // Once Start has been sent, some of its processes may have run: no other node can be tried
  // lightly. But a pod that lacks memory has been killed, and nothing was saved since its restore.
  if (!memory && stage == Stage::kStarting) return Suspect(turn, why);
  FailStart(turn, CodeFromName(failed.code()), why, turn.job.nodes()[turn.event.pod]);
}

void OnStartTimeout(Turn& turn, const Timer&) {
  Job& job = turn.job;
  std::vector<std::string> late;
  std::string node;
  for (uint32_t i = 0; i < job.pods.size(); ++i) {
    const Pod& pod = job.pods[i];
    const bool in_time = job.stage == Stage::kGathering   ? pod.connected
                         : job.stage == Stage::kPreparing ? pod.phase == v1::PHASE_READY
                                                          : pod.phase == v1::PHASE_RUNNING;
    if (in_time) continue;
    late.push_back(job.nodes()[i].empty() ? fmt::format("pod {}", i) : turn.Name(i));
    if (node.empty()) node = job.nodes()[i];
  }
  const std::string why =
      fmt::format("{}: not in time: {}", StageName(job.stage), fmt::join(late, ", "));
  if (job.stage == Stage::kStarting) return Suspect(turn, why);
  FailStart(turn, Code::kTimeout, why, node);
}

}  // namespace holdfast::coordinator
