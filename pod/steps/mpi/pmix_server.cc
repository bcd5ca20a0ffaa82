#include "pod/steps/mpi/pmix_server.h"

#include <fcntl.h>
#include <pmix.h>
#include <pmix_server.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include "pod/frame_socket.h"
#include "pod/steps/hostlist.h"
#include "pod/steps/mpi/exchange.h"
#include "pod/steps/mpi/pmix_job.h"
#include "pod/steps/mpi/pmix_link.h"

namespace holdfast::pod {
namespace {

// What the library's own thread wants done by the one that serves.
class Inbox {
 public:
  Status Open() {
    event_.Reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    return event_.valid() ? Status() : FailErrno("eventfd");
  }
  int fd() const { return event_.get(); }
  void Post(std::function<void()> work) {
    const std::lock_guard lock(mutex_);
    work_.push_back(std::move(work));
    ::eventfd_write(event_.get(), 1);
  }
  std::vector<std::function<void()>> Take() {
    eventfd_t count = 0;
    const std::lock_guard lock(mutex_);
    ::eventfd_read(event_.get(), &count);
    return std::exchange(work_, {});
  }

 private:
  UniqueFd event_;
  std::mutex mutex_;
  std::vector<std::function<void()>> work_;
};

constexpr const char* kNoSpawn =
    "starting more processes (MPI_Comm_spawn) is not possible by srun: mpirun and mpiexec may have "
    "it";

// An answer of the host that the library waits for.
struct Modex {
  pmix_modex_cbfunc_t answer = nullptr;
  void* data = nullptr;

  void Give(pmix_status_t status, std::string bytes) const {
    auto* const kept = new std::string(std::move(bytes));
    answer(
        status, kept->data(), kept->size(), data,
        [](void* done) { delete static_cast<std::string*>(done); }, kept);
  }
};

// One to a process, as the library is: its callbacks find it here.
class Server;
Server* server = nullptr;

class Server {
 public:
  explicit Server(UniqueFd connection) : socket_(std::move(connection)) {}

  Status Serve() {
    HOLDFAST_CHECK(inbox_.Open());
    HOLDFAST_CHECK(ReadOrder());
    server = this;
    HOLDFAST_CHECK(Begin());
    HOLDFAST_TRY(const auto environments, Environments());
    FieldWriter writer;
    for (const auto& environment : environments) writer.Add(environment);
    socket_.Queue(RshFrame::kPmixReady, writer.Take());
    while (!socket_.closed()) Turn();
    return {};
  }

  // The callbacks, in the library's thread.
  void Fence(std::vector<uint32_t> tasks, std::string data, Modex modex) {
    inbox_.Post([this, tasks = std::move(tasks), data = std::move(data), modex] {
      BeginFence(tasks, data, modex);
    });
  }
  void Ask(uint32_t task, Modex modex) {
    inbox_.Post([this, task, modex] { AskForTask(task, modex); });
  }
  void Abort(AbortWish wish) {
    inbox_.Post([this, wish] { socket_.Queue(RshFrame::kStepAbort, Serialize(wish)); });
  }
  // As slurmstepd begins its lines.
  void Say(uint32_t task, std::string line) {
    inbox_.Post([this, task, line = std::move(line)] {
      const std::string& host = job_.order.host;
      socket_.Queue(RshFrame::kTaskError,
                    Serialize(task, "slurmstepd-" + host + ": error: " + line + "\n"));
    });
  }
  // Nothing: not all of them are of this step.
  std::optional<std::vector<uint32_t>> TasksOf(std::span<const pmix_proc_t> processes) const {
    std::vector<uint32_t> tasks;
    for (const pmix_proc_t& process : processes) {
      if (job_.name != process.nspace) return std::nullopt;
      if (process.rank == PMIX_RANK_WILDCARD)
        for (uint32_t task = 0; task < job_.node_of_task.size(); ++task) tasks.push_back(task);
      else if (process.rank < job_.node_of_task.size())
        tasks.push_back(process.rank);
      else
        return std::nullopt;
    }
    std::ranges::sort(tasks);
    const auto repeated = std::ranges::unique(tasks);
    tasks.erase(repeated.begin(), repeated.end());
    return tasks;
  }

 private:
  // In a letter: a task's data is asked for, or given.
  enum class Word : uint8_t { kAsk, kGive };

  Status ReadOrder() {
    std::optional<RshMessage> request;
    while (!(request = socket_.Next())) {
      if (socket_.closed()) return Fail(Code::kUnavailable, "the step's daemon has gone");
      pollfd polled{.fd = socket_.fd(), .events = POLLIN, .revents = 0};
      ::poll(&polled, 1, -1);
      socket_.Pump();
    }
    HOLDFAST_TRY(DaemonOrder order, ParseDaemonOrder(request->data));
    HOLDFAST_TRY(job_, ReadPmixJob(std::move(order)));
    job_.directory = PmixDirectory(job_.order);
    return {};
  }

  Status Begin();
  Result<std::vector<std::vector<std::string>>> Environments() const;

  void Turn() {
    pollfd polled[] = {{socket_.fd(), socket_.events(), 0}, {inbox_.fd(), POLLIN, 0}};
    ::poll(polled, std::size(polled), -1);
    for (const auto& work : inbox_.Take()) work();
    socket_.Pump();
    while (const auto message = socket_.Next()) {
      if (message->type == RshFrame::kGathered) EndFence(message->data);
      if (message->type == RshFrame::kLetter) ReadLetter(message->data);
    }
  }

  void BeginFence(const std::vector<uint32_t>& tasks, const std::string& data, Modex modex) {
    std::vector<uint32_t> nodes;
    for (const uint32_t task : tasks) nodes.push_back(job_.node_of_task[task]);
    std::ranges::sort(nodes);
    const auto repeated = std::ranges::unique(nodes);
    nodes.erase(repeated.begin(), repeated.end());
    if (nodes.size() == 1) return modex.Give(PMIX_SUCCESS, data);
    const std::string who = "pmix " + CompressNumbers(tasks) + " ";
    std::string name = who + std::to_string(++fences_of_[who]);
    socket_.Queue(RshFrame::kContribute,
                  Serialize(Contribution{.name = name, .nodes = std::move(nodes), .data = data}));
    fences_[std::move(name)] = modex;
  }

  void EndFence(const std::string& bytes) {
    auto gathered = ParseGathered(bytes);
    if (!gathered) return;
    const auto fence = fences_.extract(gathered->name);
    if (!fence.empty()) fence.mapped().Give(PMIX_SUCCESS, std::move(gathered->data));
  }

  void AskForTask(uint32_t task, Modex modex) {
    FieldWriter writer;
    for (const uint64_t number : {uint64_t{static_cast<uint8_t>(Word::kAsk)}, ++asked_})
      writer.Add(number);
    writer.Add(uint64_t{task});
    waiting_[asked_] = modex;
    socket_.Queue(RshFrame::kLetter,
                  Serialize(Letter{.node = job_.node_of_task[task], .data = writer.Take()}));
  }

  void ReadLetter(const std::string& bytes) {
    const auto letter = ParseLetter(bytes);
    if (!letter) return;
    FieldReader reader(letter->data);
    const auto word = static_cast<Word>(reader.Number(1));
    const uint64_t ticket = reader.Number();
    if (word == Word::kAsk) {
      const auto task = static_cast<uint32_t>(reader.Number(kMaxTasks));
      if (reader.complete()) Give(letter->node, ticket, task);
      return;
    }
    const bool found = reader.Flag();
    std::string data = reader.Text();
    const auto asked = waiting_.extract(ticket);
    if (reader.complete() && !asked.empty())
      asked.mapped().Give(found ? PMIX_SUCCESS : PMIX_ERR_NOT_FOUND, std::move(data));
  }

  // What the library knows of a task here, for the node that asks; once the task has put it there.
  void Give(uint32_t node, uint64_t ticket, uint32_t task) {
    struct Request {
      Server* self;
      uint32_t node;
      uint64_t ticket;
    };
    auto request = std::make_unique<Request>(this, node, ticket);
    const auto answer = [](pmix_status_t status, char* data, size_t size, void* context) {
      const std::unique_ptr<Request> asked(static_cast<Request*>(context));
      FieldWriter writer;
      writer.Add(uint64_t{static_cast<uint8_t>(Word::kGive)});
      writer.Add(asked->ticket);
      writer.Add(uint64_t{status == PMIX_SUCCESS});
      writer.Add(std::string_view(data ? data : "", data ? size : 0));
      asked->self->inbox_.Post([self = asked->self, node = asked->node, bytes = writer.Take()] {
        self->socket_.Queue(RshFrame::kLetter, Serialize(Letter{.node = node, .data = bytes}));
      });
    };
    const pmix_proc_t process = ProcessOf(job_, task);
    Request* const context = request.release();
    if (const auto status = PMIx_server_dmodex_request(&process, answer, context);
        status != PMIX_SUCCESS)
      answer(status, nullptr, 0, context);
  }

  FrameSocket socket_;
  PmixJob job_;
  Inbox inbox_;
  std::map<std::string, uint64_t> fences_of_;  // by who takes part
  std::map<std::string, Modex> fences_;
  uint64_t asked_ = 0;
  std::map<uint64_t, Modex> waiting_;
};

// The library's callbacks. Each is done when it returns, but for those that give a Modex later.

pmix_status_t Connected(const pmix_proc_t*, void*, pmix_info_t[], size_t, pmix_op_cbfunc_t, void*) {
  return PMIX_OPERATION_SUCCEEDED;
}

pmix_status_t Finalized(const pmix_proc_t*, void*, pmix_op_cbfunc_t, void*) {
  return PMIX_OPERATION_SUCCEEDED;
}

pmix_status_t Aborted(const pmix_proc_t* process, void*, int status, const char*, pmix_proc_t[],
                      size_t, pmix_op_cbfunc_t, void*) {
  server->Abort({.code = static_cast<uint32_t>(status) & 0xff, .ending_task = process->rank});
  return PMIX_OPERATION_SUCCEEDED;
}

pmix_status_t Fenced(const pmix_proc_t processes[], size_t count, const pmix_info_t[], size_t,
                     char* data, size_t size, pmix_modex_cbfunc_t answer, void* context) {
  const std::unique_ptr<char, decltype(&std::free)> owned(data, &std::free);
  auto tasks = server->TasksOf(std::span(processes, count));
  if (!tasks || tasks->empty()) return PMIX_ERR_NOT_SUPPORTED;
  server->Fence(std::move(*tasks), data ? std::string(data, size) : "", {answer, context});
  return PMIX_SUCCESS;
}

pmix_status_t Wanted(const pmix_proc_t* process, const pmix_info_t[], size_t,
                     pmix_modex_cbfunc_t answer, void* context) {
  const auto tasks = server->TasksOf(std::span(process, 1));
  if (!tasks || tasks->size() != 1) return PMIX_ERR_NOT_FOUND;
  server->Ask(tasks->front(), {answer, context});
  return PMIX_SUCCESS;
}

pmix_status_t Spawned(const pmix_proc_t* process, const pmix_info_t[], size_t, const pmix_app_t[],
                      size_t, pmix_spawn_cbfunc_t, void*) {
  server->Say(process->rank, kNoSpawn);
  return PMIX_ERR_NOT_SUPPORTED;
}

// A task has gone without PMIx_Finalize. As Slurm's.
void Happened(size_t, pmix_status_t status, const pmix_proc_t* process, pmix_info_t[], size_t,
              pmix_info_t*, size_t, pmix_event_notification_cbfunc_fn_t done, void* context) {
  server->Say(process->rank,
              " mpi/pmix: Error handler invoked: status = " + std::to_string(status) +
                  ", source = [" + process->nspace + ":" + std::to_string(process->rank) + "]");
  server->Abort({});
  if (done) done(PMIX_EVENT_ACTION_COMPLETE, nullptr, 0, nullptr, nullptr, context);
}

Status Server::Begin() {
  static pmix_server_module_t module{};
  module.client_connected2 = Connected;
  module.client_finalized = Finalized;
  module.abort = Aborted;
  module.fence_nb = Fenced;
  module.direct_modex = Wanted;
  module.spawn = Spawned;
  pmix_info_t info;
  PMIx_Info_load(&info, PMIX_SERVER_TMPDIR, job_.directory.c_str(), PMIX_STRING);
  const pmix_status_t begun = PMIx_server_init(&module, &info, 1);
  PMIx_Info_destruct(&info);
  HOLDFAST_CHECK(CheckPmix(begun, "starting its server"));
  pmix_status_t lost = PMIX_ERR_LOST_CONNECTION;
  PMIx_Register_event_handler(&lost, 1, nullptr, 0, Happened, nullptr, nullptr);
  return RegisterPmixJob(job_);
}

// By task of this node.
Result<std::vector<std::vector<std::string>>> Server::Environments() const {
  std::vector<std::vector<std::string>> environments;
  for (const uint32_t task : job_.order.tasks) {
    const pmix_proc_t process = ProcessOf(job_, task);
    char** variables = nullptr;
    HOLDFAST_CHECK(CheckPmix(PMIx_server_setup_fork(&process, &variables), "preparing a task"));
    std::vector<std::string>& environment = environments.emplace_back();
    for (char** each = variables; each && *each; ++each) environment.emplace_back(*each);
    PMIx_Argv_free(variables);
  }
  return environments;
}

}  // namespace

Status ServePmix(UniqueFd connection) { return Server(std::move(connection)).Serve(); }

}  // namespace holdfast::pod
