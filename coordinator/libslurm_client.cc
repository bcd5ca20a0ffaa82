#include <fmt/format.h>
#include <fmt/ranges.h>
#include <slurm/slurm.h>
#include <slurm/slurm_errno.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <ctime>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "coordinator/clock.h"
#include "coordinator/libslurm_records.h"
#include "coordinator/slurm_client.h"
#include "coordinator/spread.h"
#include "pod/signals.h"

namespace holdfast::coordinator {
namespace {

using ArrayResponse = Owned<job_array_resp_msg_t, slurm_free_job_array_resp>;
using Configuration = Owned<slurm_conf_t, slurm_free_ctl_conf>;
using PartitionMessage = Owned<partition_info_msg_t, slurm_free_partition_info_msg>;

// Above this many jobs one request for all of the cluster's is cheaper than one each.
constexpr size_t kLoadOneByOne = 32;
// Partitions and slurm.conf hardly ever change.
constexpr std::chrono::minutes kTimesKept{1};
// Slurm waits no less: _rpc_terminate_job in src/slurmd/slurmd/req.c.
constexpr uint32_t kShortestKillWait = 5;

// Slurm notes a job's PreemptTime without taking that for a change of its jobs
// (_job_check_grace_internal in src/slurmctld/preempt.c, 20.11 to 24.11): after so long all are
// read again although nothing is said to have changed.
constexpr std::chrono::seconds kUnchangedBelieved{10};

bool IsTransient(int error) {
  return error == SLURM_COMMUNICATIONS_CONNECTION_ERROR ||
         error == SLURM_COMMUNICATIONS_SEND_ERROR || error == SLURM_COMMUNICATIONS_RECEIVE_ERROR ||
         error == SLURM_COMMUNICATIONS_SHUTDOWN_ERROR ||
         error == SLURMCTLD_COMMUNICATIONS_CONNECTION_ERROR ||
         error == SLURM_PROTOCOL_SOCKET_IMPL_TIMEOUT || error == ESLURM_IN_STANDBY_MODE ||
         error == ETIMEDOUT || error == ECONNREFUSED;
}

std::unexpected<Error> SlurmError(const std::string& operation, int error) {
  Code code = Code::kInternal;
  if (IsTransient(error)) code = Code::kUnavailable;
  if (error == ESLURM_INVALID_JOB_ID || error == ESLURM_INVALID_NODE_NAME) code = Code::kNotFound;
  if (error == ESLURM_USER_ID_MISSING || error == ESLURM_ACCESS_DENIED) code = Code::kDenied;
  return Fail(code, fmt::format("{}: Slurm: {}{}", operation, slurm_strerror(error),
                                code == Code::kDenied
                                    ? "; the coordinator's user must be a Slurm operator: "
                                      "sacctmgr modify user NAME set adminlevel=operator"
                                    : ""));
}

class LibslurmClient : public SlurmClient {
 public:
  LibslurmClient() { slurm_init(nullptr); }
  ~LibslurmClient() override { slurm_fini(); }

  Result<Record> Load(uint32_t job_id) override {
    const int64_t asked_ns = NowNs();
    HOLDFAST_TRY(const JobMessage message, LoadMessage(job_id));
    return Select(message, {job_id}, asked_ns).front();
  }

  Result<std::vector<Record>> LoadMany(const std::vector<uint32_t>& job_ids) override {
    std::vector<Record> records;
    if (job_ids.size() <= kLoadOneByOne) {
      for (const uint32_t job_id : job_ids) {
        HOLDFAST_TRY(Record record, Load(job_id));
        records.push_back(std::move(record));
      }
      return records;
    }
    const int64_t asked_ns = NowNs();
    job_info_msg_t* raw = nullptr;
    if (slurm_load_jobs(0, &raw, SHOW_ALL) != SLURM_SUCCESS)
      return SlurmError("looking up all jobs", errno);
    return Select(JobMessage(raw), job_ids, asked_ns);
  }

  Result<std::vector<Record>> Poll(const std::vector<uint32_t>& job_ids) override {
    if (job_ids.size() <= kLoadOneByOne) return LoadMany(job_ids);
    const std::lock_guard lock(polled_mutex_);
    const auto now = std::chrono::steady_clock::now();
    const bool known = now < polled_expire_ && job_ids == polled_ids_;
    const int64_t asked_ns = NowNs();
    job_info_msg_t* raw = nullptr;
    if (slurm_load_jobs(known ? polled_update_ : 0, &raw, SHOW_ALL) == SLURM_SUCCESS) {
      const JobMessage message(raw);
      polled_ = Select(message, job_ids, asked_ns);
      polled_ids_ = job_ids;
      polled_update_ = message->last_update;
      polled_expire_ = now + kUnchangedBelieved;
    } else if (errno != SLURM_NO_CHANGE_IN_DATA) {
      return SlurmError("looking up all jobs", errno);
    }
    for (Record& record : polled_) record.asked_ns = asked_ns;
    return polled_;
  }

  Status Requeue(uint32_t job_id, const coordinator::Requeue& how) override {
    const bool hold = how.hold;
    HOLDFAST_TRY(const Record record, Load(job_id));
    if (record.restart_count != how.restart_count) return {};
    HOLDFAST_TRY(std::string job, Name(job_id));  // it is known now
    const std::string operation = "requeueing job " + job;
    if (record.state == Record::State::kRunning &&
        (record.being_preempted() || (how.unmark && record.marked)))
      return LeavePreempted(job_id, operation);
    const bool ended = record.may_return();
    int error = RequeueOnce(job, hold, ended);
    if (error == ESLURM_DISABLED && !ended) {
      job_desc_msg_t change;
      slurm_init_job_desc_msg(&change);
      change.requeue = 1;
      HOLDFAST_CHECK(Update(job, change, operation + ", which was submitted with --no-requeue"));
      error = RequeueOnce(job, hold, ended);
    }
    if (error == SLURM_SUCCESS || error == ESLURM_JOB_PENDING) return {};
    return SlurmError(operation, error);
  }

  Status Apply(uint32_t job_id, const Amend& amend) override {
    if (!amend.excluded && !amend.spread && !amend.requeue && !amend.eligible &&
        amend.not_before == 0 && !amend.hold && !amend.release)
      return {};
    HOLDFAST_TRY(const std::string job, Name(job_id));
    job_desc_msg_t change;
    slurm_init_job_desc_msg(&change);
    std::string excluded;
    if (amend.excluded) {
      excluded = fmt::format("{}", fmt::join(*amend.excluded, ","));
      change.exc_nodes = excluded.data();  // empty: none
    }
    if (amend.spread) {
      HOLDFAST_TRY(const JobMessage message, LoadMessage(job_id));
      if (const slurm_job_info_t* info = Find(message, job_id))
        if (const auto demand = DemandOf(*amend.spread, ToRecord(*info, NowNs())))
          Ask(*demand, *info, change);
    }
    if (amend.requeue) change.requeue = *amend.requeue ? 1 : 0;
    if (amend.eligible) change.begin_time = std::time(nullptr);
    if (amend.not_before != 0) change.begin_time = amend.not_before;
    if (amend.hold) {
      change.priority = 0;
      change.alloc_sid = ALLOC_SID_USER_HOLD;  // so that its user may release it
    }
    if (amend.release) change.priority = INFINITE;
    return Update(job, change, "changing job " + job);
  }

  Status SetComment(uint32_t job_id, const std::string& text) override {
    HOLDFAST_TRY(const JobMessage message, LoadMessage(job_id));
    const slurm_job_info_t* info = Find(message, job_id);
    const std::string job = info != nullptr ? NameOf(*info) : std::to_string(job_id);
    const std::string present = info != nullptr && info->comment != nullptr ? info->comment : "";
    std::string comment = MergeComment(present, text);
    if (comment == present) return {};
    job_desc_msg_t change;
    slurm_init_job_desc_msg(&change);
    change.comment = comment.data();
    return Update(job, change, "commenting job " + job);
  }

  Result<std::vector<NodeRecord>> LoadNodes() override {
    const std::lock_guard lock(polled_mutex_);
    node_info_msg_t* raw = nullptr;
    if (slurm_load_node(nodes_update_, &raw, SHOW_ALL) == SLURM_SUCCESS) {
      const NodeMessage message(raw);
      nodes_ = ToRecords(message);
      nodes_update_ = message->last_update;
    } else if (errno != SLURM_NO_CHANGE_IN_DATA) {
      return SlurmError("looking up all nodes", errno);
    }
    return nodes_;
  }

  Status Drain(const std::string& node, const std::string& reason) override {
    const std::string operation = "draining node " + node;
    std::string name = node, text = reason;
    node_info_msg_t* raw = nullptr;
    if (slurm_load_node_single(&raw, name.data(), SHOW_ALL) != SLURM_SUCCESS)
      return SlurmError(operation, errno);
    const std::vector<NodeRecord> records = ToRecords(NodeMessage(raw));
    if (records.empty())
      return Fail(Code::kNotFound, fmt::format("{}: Slurm has no such node", operation));
    if (records.front().draining) return {};
    update_node_msg_t change;
    slurm_init_update_node_msg(&change);
    change.node_names = name.data();
    change.node_state = NODE_STATE_DRAIN;
    change.reason = text.data();
    change.reason_uid = ::geteuid();
    if (slurm_update_node(&change) == SLURM_SUCCESS) return {};
    return SlurmError(operation, errno);
  }

  Status Cancel(uint32_t job_id) override {
    HOLDFAST_TRY(const std::string job, Name(job_id));
    if (slurm_kill_job2(job.c_str(), SIGKILL, 0, nullptr) == SLURM_SUCCESS) return {};
    if (errno == ESLURM_ALREADY_DONE) return {};
    return SlurmError("cancelling job " + job, errno);
  }

  Result<std::vector<SlurmUser>> LoadUsers() override { return LoadUsersOfDatabase(); }

  Result<Cluster> LoadCluster() override {
    HOLDFAST_TRY(const Configuration configuration, LoadConfiguration());
    return Cluster{
        .name = configuration->cluster_name != nullptr ? configuration->cluster_name : "",
        .slurm_user = configuration->slurm_user_id};
  }

 private:
  static void Ask(const Demand& demand, const slurm_job_info_t& info, job_desc_msg_t& change) {
    change.min_nodes = demand.min_nodes;
    change.max_nodes = demand.max_nodes;
    if (demand.node_memory_mb != 0) change.pn_min_memory = demand.node_memory_mb;
    if (demand.tasks_per_node == 0) return;
    change.ntasks_per_node = static_cast<uint16_t>(demand.tasks_per_node);
    // Slurm raises this with the tasks of a node, and does not lower it.
    const bool said = info.cpus_per_task != 0 && info.cpus_per_task != NO_VAL16;
    change.pn_min_cpus =
        static_cast<uint16_t>(demand.tasks_per_node * (said ? info.cpus_per_task : 1));
  }

  static Result<Configuration> LoadConfiguration() {
    slurm_conf_t* raw = nullptr;
    if (slurm_load_ctl_conf(0, &raw) != SLURM_SUCCESS)
      return SlurmError("reading Slurm's configuration", errno);
    return Configuration(raw);
  }

  static Record Gone(uint32_t job_id, int64_t asked_ns) {
    Record record;
    record.state_name = "UNKNOWN";
    record.asked_ns = asked_ns;
    record.job_id = job_id;
    return record;
  }

  // With its partition's GraceTime and the cluster's KillWait. Without, if Slurm does not say:
  // nobody depends on them.
  Record WithTimes(Record record) {
    const std::lock_guard lock(times_mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (now >= times_expire_) {
      if (const auto configuration = LoadConfiguration())
        kill_wait_seconds_ = std::max<uint32_t>((*configuration)->kill_wait, kShortestKillWait);
      partition_info_msg_t* raw = nullptr;
      if (slurm_load_partitions(partitions_update_, &raw, SHOW_ALL) == SLURM_SUCCESS) {
        const PartitionMessage message(raw);
        partitions_update_ = message->last_update;
        grace_seconds_.clear();
        for (uint32_t i = 0; i < message->record_count; ++i)
          if (const partition_info_t& partition = message->partition_array[i];
              partition.name != nullptr)
            grace_seconds_[partition.name] = partition.grace_time;
      }
      times_expire_ = now + kTimesKept;
    }
    record.kill_wait_seconds = kill_wait_seconds_;
    const auto found = grace_seconds_.find(record.partition);
    if (found != grace_seconds_.end()) record.grace_seconds = found->second;
    return record;
  }

  // Null if slurmctld does not know the job.
  static Result<JobMessage> LoadMessage(uint32_t job_id) {
    job_info_msg_t* raw = nullptr;
    if (slurm_load_job(&raw, job_id, SHOW_ALL) == SLURM_SUCCESS) return JobMessage(raw);
    if (errno == ESLURM_INVALID_JOB_ID) return JobMessage();
    return SlurmError(fmt::format("looking up job {}", job_id), errno);
  }

  // The records of these jobs, in their order.
  std::vector<Record> Select(const JobMessage& message, const std::vector<uint32_t>& job_ids,
                             int64_t asked_ns) {
    std::unordered_map<uint32_t, const slurm_job_info_t*> by_id;
    for (uint32_t i = 0; message && i < message->record_count; ++i)
      by_id[message->job_array[i].job_id] = &message->job_array[i];
    std::vector<Record> records;
    records.reserve(job_ids.size());
    for (const uint32_t job_id : job_ids) {
      const auto found = by_id.find(job_id);
      records.push_back(found == by_id.end() ? Gone(job_id, asked_ns)
                                             : WithTimes(ToRecord(*found->second, asked_ns)));
      NoteName(records.back(), found == by_id.end() ? "" : NameOf(*found->second));
    }
    return records;
  }

  // What slurmctld takes to mean this job alone: the plain id of the last task of a job array is
  // that of the whole array, too.
  static std::string NameOf(const slurm_job_info_t& info) {
    if (info.array_job_id != 0 && info.array_task_id != NO_VAL)
      return fmt::format("{}_{}", info.array_job_id, info.array_task_id);
    return std::to_string(info.job_id);
  }
  static const slurm_job_info_t* Find(const JobMessage& message, uint32_t job_id) {
    for (uint32_t i = 0; message && i < message->record_count; ++i)
      if (message->job_array[i].job_id == job_id) return &message->job_array[i];
    return nullptr;
  }
  // From its first start on a job keeps its name.
  void NoteName(const Record& record, const std::string& name) {
    const std::lock_guard lock(names_mutex_);
    if (record.state == Record::State::kRunning)
      names_[record.job_id] = name;
    else if (record.state == Record::State::kGone)
      names_.erase(record.job_id);
  }
  Result<std::string> Name(uint32_t job_id) {
    {
      const std::lock_guard lock(names_mutex_);
      if (const auto known = names_.find(job_id); known != names_.end()) return known->second;
    }
    HOLDFAST_TRY(const JobMessage message, LoadMessage(job_id));
    const slurm_job_info_t* info = Find(message, job_id);
    return info != nullptr ? NameOf(*info) : std::to_string(job_id);
  }

  static int FirstError(int code, const job_array_resp_msg_t* response) {
    if (code != SLURM_SUCCESS) return errno;
    if (response != nullptr)
      for (uint32_t i = 0; i < response->job_array_count; ++i)
        if (response->error_code[i] != SLURM_SUCCESS)
          return static_cast<int>(response->error_code[i]);
    return SLURM_SUCCESS;
  }

  // While Slurm preempts a job, it must be Slurm that requeues it: a requeue by somebody else
  // leaves the mark of the grace time on the job (GRACE_PREEMPT, never cleared by _job_requeue_op
  // in src/slurmctld/job_mgr.c up to 26.05), and when it later ends well, Slurm takes that end for
  // the preemption's and runs it once more. So the batch script ends, and Slurm does what it does
  // for any job that leaves within its grace time.
  static Status LeavePreempted(uint32_t job_id, const std::string& operation) {
    if (slurm_kill_job(job_id, pod::kLeaveSignal, KILL_JOB_BATCH) == SLURM_SUCCESS) return {};
    return SlurmError(operation + ", which Slurm preempts", errno);
  }

  static int RequeueOnce(std::string& job, bool hold, bool ended) {
    job_array_resp_msg_t* raw = nullptr;
    // JOB_RUNNING: a running job only. Slurm would requeue a cancelled one as well.
    const auto flags =
        static_cast<uint32_t>((ended ? 0 : JOB_RUNNING) | (hold ? JOB_REQUEUE_HOLD : 0));
    const int code = slurm_requeue2(job.data(), flags, &raw);
    const int error = FirstError(code, raw);
    const ArrayResponse owner(raw);
    return error;
  }

  static Status Update(std::string job, job_desc_msg_t& change, const std::string& operation) {
    change.job_id_str = job.data();
    job_array_resp_msg_t* raw = nullptr;
    const int code = slurm_update_job2(&change, &raw);
    const int error = FirstError(code, raw);
    const ArrayResponse owner(raw);
    if (error == SLURM_SUCCESS) return {};
    return SlurmError(operation, error);
  }

  std::mutex times_mutex_;
  uint32_t kill_wait_seconds_ = 0;
  std::unordered_map<std::string, uint32_t> grace_seconds_;  // by partition
  std::chrono::steady_clock::time_point times_expire_;
  time_t partitions_update_ = 0;
  std::mutex names_mutex_;
  std::unordered_map<uint32_t, std::string> names_;  // NameOf, of jobs that have run
  std::mutex polled_mutex_;                          // of what follows; held while Slurm is asked
  std::vector<uint32_t> polled_ids_;
  std::vector<Record> polled_;
  time_t polled_update_ = 0;
  std::chrono::steady_clock::time_point polled_expire_;
  std::vector<NodeRecord> nodes_;
  time_t nodes_update_ = 0;
};

}  // namespace

std::unique_ptr<SlurmClient> MakeLibslurmClient() { return std::make_unique<LibslurmClient>(); }

}  // namespace holdfast::coordinator
