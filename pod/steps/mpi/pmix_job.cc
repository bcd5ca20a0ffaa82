#include "pod/steps/mpi/pmix_job.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <future>
#include <memory>

#include "pod/steps/hostlist.h"

namespace holdfast::pod {
namespace {

// A list of attributes in the library's own form, while it grows.
class Attributes {
 public:
  Attributes() : list_(PMIx_Info_list_start()) {}
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
  ~Attributes() {
    PMIx_Info_list_release(list_);
    PMIx_Data_array_destruct(&array_);
  }

  void Text(const char* key, const std::string& value) { Add(key, value.c_str(), PMIX_STRING); }
  void Number(const char* key, uint32_t value) { Add(key, &value, PMIX_UINT32); }
  void Small(const char* key, size_t value) {
    const auto number = static_cast<uint16_t>(value);
    Add(key, &number, PMIX_UINT16);
  }
  void Flag(const char* key, bool value) { Add(key, &value, PMIX_BOOL); }
  void Rank(const char* key, pmix_rank_t value) { Add(key, &value, PMIX_PROC_RANK); }
  void Nested(const char* key, Attributes& attributes) {
    Add(key, attributes.array(), PMIX_DATA_ARRAY);
  }
  void Compressed(const char* key, char* value) {
    Add(key, value, PMIX_REGEX);
    std::free(value);
  }

  // All that was added; once.
  pmix_data_array_t* array() {
    if (array_.array == nullptr) PMIx_Info_list_convert(list_, &array_);
    return &array_;
  }

 private:
  void Add(const char* key, const void* value, pmix_data_type_t type) {
    PMIx_Info_list_add(list_, key, value, type);
  }
  void* list_;
  pmix_data_array_t array_ = PMIX_DATA_ARRAY_STATIC_INIT;
};

// An answer that the library gives in a thread of its own.
class Answer {
 public:
  static void Take(pmix_status_t status, void* self) {
    static_cast<Answer*>(self)->promise_.set_value(status);
  }
  // `returned`: by the function that is to call Take, which does so only if it succeeds.
  Status Wait(pmix_status_t returned, const char* what) {
    if (returned == PMIX_OPERATION_SUCCEEDED) return {};
    HOLDFAST_CHECK(CheckPmix(returned, what));
    return CheckPmix(promise_.get_future().get(), what);
  }

 private:
  std::promise<pmix_status_t> promise_;
};

template <class T>
std::string Join(const std::vector<T>& items, char separator) {
  std::string text;
  for (const T& item : items) {
    if (!text.empty()) text += separator;
    if constexpr (std::is_same_v<T, std::string>)
      text += item;
    else
      text += std::to_string(item);
  }
  return text;
}

void AddSizes(Attributes& job, const PmixJob& facts) {
  const uint32_t all = facts.order.mpi.tasks;
  const auto here = static_cast<uint32_t>(facts.order.tasks.size());
  for (const char* key : {PMIX_UNIV_SIZE, PMIX_JOB_SIZE, PMIX_MAX_PROCS, PMIX_APP_SIZE})
    job.Number(key, all);
  for (const char* key : {PMIX_LOCAL_SIZE, PMIX_NODE_SIZE}) job.Number(key, here);
}

Status AddMaps(Attributes& job, const PmixJob& facts) {
  char* text = nullptr;
  HOLDFAST_CHECK(
      CheckPmix(PMIx_generate_regex(Join(facts.hosts, ',').c_str(), &text), "naming the nodes"));
  job.Compressed(PMIX_NODE_MAP, text);
  std::vector<std::string> lists;
  for (const auto& tasks : facts.tasks_of_nodes) lists.push_back(Join(tasks, ','));
  HOLDFAST_CHECK(
      CheckPmix(PMIx_generate_ppn(Join(lists, ';').c_str(), &text), "placing the tasks"));
  job.Compressed(PMIX_PROC_MAP, text);
  job.Text(PMIX_LOCAL_PEERS, Join(facts.order.tasks, ','));
  job.Rank(PMIX_LOCALLDR, facts.order.tasks[0]);
  return {};
}

void AddTasks(Attributes& job, const PmixJob& facts) {
  for (uint32_t node = 0; node < facts.tasks_of_nodes.size(); ++node) {
    const auto& tasks = facts.tasks_of_nodes[node];
    for (size_t i = 0; i < tasks.size(); ++i) {
      Attributes task;
      task.Rank(PMIX_RANK, tasks[i]);
      task.Number(PMIX_APPNUM, 0);
      task.Rank(PMIX_GLOBAL_RANK, tasks[i]);
      task.Rank(PMIX_APP_RANK, tasks[i]);
      task.Small(PMIX_LOCAL_RANK, i);
      task.Small(PMIX_NODE_RANK, i);
      task.Text(PMIX_HOSTNAME, facts.hosts[node]);
      task.Number(PMIX_NODEID, node);
      job.Nested(PMIX_PROC_DATA, task);
    }
  }
}

}  // namespace

Result<PmixJob> ReadPmixJob(DaemonOrder order) {
  PmixJob job{.order = std::move(order)};
  job.name = "slurm.pmix." + std::to_string(job.order.job) + "." + std::to_string(job.order.step);
  HOLDFAST_TRY(job.hosts, ExpandHosts(job.order.mpi.hosts));
  HOLDFAST_TRY(job.tasks_of_nodes,
               TasksOfNodes(job.order.mpi.mapping, job.hosts.size(), job.order.mpi.tasks));
  if (job.order.node_index >= job.hosts.size() ||
      job.tasks_of_nodes[job.order.node_index] != job.order.tasks)
    return Fail(Code::kCorrupt, "the step's tasks are not where its mapping has them");
  job.node_of_task.resize(job.order.mpi.tasks);
  for (uint32_t node = 0; node < job.hosts.size(); ++node)
    for (const uint32_t task : job.tasks_of_nodes[node]) job.node_of_task[task] = node;
  return job;
}

pmix_proc_t ProcessOf(const PmixJob& job, uint32_t task) {
  pmix_proc_t process;
  PMIx_Load_procid(&process, job.name.c_str(), task);
  return process;
}

Status CheckPmix(pmix_status_t status, const char* what) {
  if (status == PMIX_SUCCESS || status == PMIX_OPERATION_SUCCEEDED) return {};
  return Fail(Code::kUnavailable, std::string(what) + ": PMIx: " + PMIx_Error_string(status));
}

Status RegisterPmixJob(const PmixJob& facts) {
  Attributes job;
  job.Flag(PMIX_SPAWNED, false);
  job.Text(PMIX_JOBID, std::to_string(facts.order.job) + "." + std::to_string(facts.order.step));
  job.Rank(PMIX_APPLDR, 0);
  job.Number(PMIX_USERID, ::getuid());
  job.Text(PMIX_TMPDIR, facts.directory);
  job.Text(PMIX_NSDIR, facts.directory);
  job.Flag(PMIX_TDIR_RMCLEAN, true);  // not by the tasks: the daemon removes it
  AddSizes(job, facts);
  HOLDFAST_CHECK(AddMaps(job, facts));
  AddTasks(job, facts);
  pmix_data_array_t* const all = job.array();
  Answer registered;
  HOLDFAST_CHECK(registered.Wait(
      PMIx_server_register_nspace(facts.name.c_str(), static_cast<int>(facts.order.tasks.size()),
                                  static_cast<pmix_info_t*>(all->array), all->size, Answer::Take,
                                  &registered),
      "registering the step"));
  for (const uint32_t task : facts.order.tasks) {
    const pmix_proc_t process = ProcessOf(facts, task);
    Answer known;
    HOLDFAST_CHECK(known.Wait(PMIx_server_register_client(&process, ::getuid(), ::getgid(), nullptr,
                                                          Answer::Take, &known),
                              "registering a task"));
  }
  return {};
}

}  // namespace holdfast::pod
