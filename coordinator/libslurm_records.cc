#include "coordinator/libslurm_records.h"

#include <sys/wait.h>

#include <array>
#include <cstdlib>
#include <string>

// Slurm's commands have it from libslurm too; it is in none of its public headers.
extern "C" char* slurm_job_state_reason_string(enum job_state_reason reason);

namespace holdfast::coordinator {
namespace {

using Hosts = Owned<hostlist_t, slurm_hostlist_destroy>;

// In the order of enum job_states, whose numbers Slurm never changes.
constexpr std::array kStateNames{"PENDING",   "RUNNING",   "SUSPENDED", "COMPLETED",
                                 "CANCELLED", "FAILED",    "TIMEOUT",   "NODE_FAIL",
                                 "PREEMPTED", "BOOT_FAIL", "DEADLINE",  "OUT_OF_MEMORY"};

std::vector<std::string> ExpandHosts(const char* expression) {
  std::vector<std::string> names;
  if (expression == nullptr || *expression == '\0') return names;
  const Hosts hosts(slurm_hostlist_create(expression));
  if (!hosts) return names;
  while (char* name = slurm_hostlist_shift(hosts.get())) {
    names.emplace_back(name);
    std::free(name);
  }
  return names;
}

}  // namespace

Record ToRecord(const slurm_job_info_t& info, int64_t asked_ns) {
  Record record;
  const uint32_t base = info.job_state & JOB_STATE_BASE;
  switch (base) {
    case JOB_PENDING:
      record.state = Record::State::kPending;
      break;
    case JOB_RUNNING:
    case JOB_SUSPENDED:
      record.state = Record::State::kRunning;
      break;
    default:
      record.state = Record::State::kTerminal;
  }
  record.suspended = base == JOB_SUSPENDED;
  record.state_name = base < kStateNames.size() ? kStateNames[base] : "UNKNOWN";
  const int status = static_cast<int>(info.exit_code);
  if (WIFEXITED(status)) record.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) record.exit_signal = WTERMSIG(status);
  record.asked_ns = asked_ns;
  record.completing = (info.job_state & (JOB_COMPLETING | JOB_REQUEUE)) != 0;
  record.job_id = info.job_id;
  record.restart_count = info.restart_cnt;
  if (info.array_job_id != 0 && info.array_task_id != NO_VAL)
    record.array = {.job = info.array_job_id, .task = info.array_task_id};
  record.uid = info.user_id;
  record.start_time = info.start_time;
  if (base == JOB_RUNNING && info.time_limit != INFINITE) record.end_time = info.end_time;
  record.begin_time = info.eligible_time;
  record.preempt_time = info.preempt_time;
  // Slurm has moved its end there, whether a partition, a QOS or a reservation says how long it
  // has.
  if (base == JOB_RUNNING && record.being_preempted()) record.leave_by = info.end_time;
  record.held = info.priority == 0;
  record.requeued_too_often = info.state_reason == WAIT_MAX_REQUEUE;
  if (base == JOB_PENDING)
    record.queued_for =
        slurm_job_state_reason_string(static_cast<job_state_reason>(info.state_reason));
  record.unsatisfiable = info.state_reason == FAIL_BAD_CONSTRAINTS;
  record.requeue = info.requeue != 0;
  record.marked = (info.bitflags & GRACE_PREEMPT) != 0;
  record.partition = info.partition != nullptr ? info.partition : "";
  record.account = info.account != nullptr ? info.account : "";
  record.nodes = ExpandHosts(info.nodes);
  record.excluded = ExpandHosts(info.exc_nodes);
  record.listed = ExpandHosts(info.req_nodes);
  record.min_nodes = info.num_nodes;
  record.max_nodes = info.max_nodes;
  if ((info.pn_min_memory & MEM_PER_CPU) == 0 && info.pn_min_memory != NO_VAL64)
    record.node_memory_mb = info.pn_min_memory;
  if (info.ntasks_per_node != NO_VAL16 && info.ntasks_per_node != INFINITE16)
    record.tasks_per_node = info.ntasks_per_node;
  return record;
}

std::vector<NodeRecord> ToRecords(const NodeMessage& message) {
  std::vector<NodeRecord> records;
  for (uint32_t i = 0; i < message->record_count; ++i) {
    const node_info_t& node = message->node_array[i];
    if (node.name == nullptr) continue;  // a hidden one
    records.push_back({.name = node.name,
                       .draining = (node.node_state & NODE_STATE_DRAIN) != 0,
                       .reason = node.reason != nullptr ? node.reason : "",
                       .features = node.features != nullptr ? node.features : ""});
  }
  return records;
}

}  // namespace holdfast::coordinator
