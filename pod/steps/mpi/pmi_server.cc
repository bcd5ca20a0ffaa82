#include "pod/steps/mpi/pmi_server.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace holdfast::pod {
namespace {

// As Slurm's, MPICH's and hydra's.
constexpr size_t kMaxKey = 64, kMaxValue = 1024, kMaxName = 256;
// PMI-2's codes for what is too long, and for all else (pmi2.h).
constexpr int kKeyTooLong = 5, kValueTooLong = 7, kOther = 14;

constexpr std::string_view kMapping = "PMI_process_mapping";

std::string Field(std::string_view name, std::string_view value) {
  return std::string(name) + "=" + std::string(value);
}
std::string Field(std::string_view name, int64_t value) {
  return Field(name, std::to_string(value));
}

std::vector<std::string> Found(const std::optional<std::string>& value) {
  if (!value) return {"rc=0", "found=FALSE"};
  return {"rc=0", "found=TRUE", Field("value", *value)};
}

}  // namespace

Result<PmiServer> PmiServer::Open(PmiFacts facts, PmiHost& host) {
  PmiServer server(std::move(facts), host);
  server.poll_.Reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!server.poll_.valid()) return FailErrno("epoll_create1");
  server.tasks_.resize(server.facts_.tasks.size());
  // Without it MPICH compares the names of hosts, which is slower.
  if (server.facts_.mapping.size() < kMaxValue)
    server.values_[std::string(kMapping)] = server.facts_.mapping;
  return server;
}

Result<UniqueFd> PmiServer::Connect(size_t index) {
  HOLDFAST_TRY(auto ends, MakeSocketPair(SOCK_STREAM));
  tasks_[index].socket = std::move(ends.first);
  epoll_event event{.events = EPOLLIN, .data = {.u64 = index}};
  if (::epoll_ctl(poll_.get(), EPOLL_CTL_ADD, tasks_[index].socket.get(), &event) != 0)
    return FailErrno("epoll_ctl");
  return std::move(ends.second);
}

void PmiServer::Serve() {
  std::array<epoll_event, 256> events;
  const int ready = ::epoll_wait(poll_.get(), events.data(), static_cast<int>(events.size()), 0);
  for (int i = 0; i < ready; ++i) {
    const auto index = static_cast<size_t>(events[static_cast<size_t>(i)].data.u64);
    // Who does not read its answers is not listened to.
    if (tasks_[index].out.empty()) Read(index);
    Write(index);
  }
}

void PmiServer::Read(size_t index) {
  Task& task = tasks_[index];
  char buffer[16 * 1024];
  const ssize_t n = ::recv(task.socket.get(), buffer, sizeof buffer, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return Close(index);
  task.in.append(buffer, static_cast<size_t>(n));
  while (task.socket.valid() && !task.leaves) {
    const auto request = TakePmiRequest(task.in);
    if (!request) {
      host_->Complain(index, request.error().message());
      return Close(index);
    }
    if (!*request) return;
    Take(index, **request);
  }
}

void PmiServer::Write(size_t index) {
  Task& task = tasks_[index];
  while (task.socket.valid() && !task.out.empty()) {
    const ssize_t n =
        ::send(task.socket.get(), task.out.data(), task.out.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) return Close(index);
    task.out.erase(0, static_cast<size_t>(n));
  }
  if (task.out.empty() && task.leaves) return Close(index);
  if (task.socket.valid()) Watch(index);
}

void PmiServer::Watch(size_t index) const {
  const Task& task = tasks_[index];
  epoll_event event{.events = task.out.empty() ? EPOLLIN : EPOLLOUT, .data = {.u64 = index}};
  ::epoll_ctl(poll_.get(), EPOLL_CTL_MOD, task.socket.get(), &event);
}

void PmiServer::Close(size_t index) {
  // By name: a child of the task may still hold its end, and then the kernel would go on telling.
  ::epoll_ctl(poll_.get(), EPOLL_CTL_DEL, tasks_[index].socket.get(), nullptr);
  tasks_[index].socket.Reset();
}

void PmiServer::Take(size_t index, const PmiRequest& request) {
  const std::string& command = request.command;
  if (command == "abort") {
    // PMI-2 may mean the task alone.
    if (request.Field("isworld").value_or("TRUE") == "TRUE") host_->Abort();
  } else if (command == "finalize") {
    Answer(index, request, request.version == PmiVersion::k1 ? "finalize_ack" : "finalize-response",
           {"rc=0"});
    tasks_[index].leaves = true;
  } else if (request.version == PmiVersion::k1 ? !TakeOfVersion1(index, request)
                                               : !TakeOfVersion2(index, request)) {
    Refuse(index, request);
  }
}

bool PmiServer::TakeOfVersion1(size_t index, const PmiRequest& request) {
  const std::string& command = request.command;
  const auto answer = [&](std::string_view name, const std::vector<std::string>& fields) {
    Answer(index, request, name, fields);
    return true;
  };
  if (command == "init") {
    const bool second = request.Field("pmi_version") == "2";
    return answer("response_to_init", {Field("pmi_version", second ? 2 : 1),
                                       Field("pmi_subversion", second ? 0 : 1), "rc=0"});
  }
  if (command == "get_maxes")
    return answer("maxes", {"rc=0", Field("kvsname_max", kMaxName), Field("keylen_max", kMaxKey),
                            Field("vallen_max", kMaxValue)});
  if (command == "get_universe_size")
    return answer("universe_size", {"rc=0", Field("size", facts_.size)});
  if (command == "get_appnum") return answer("appnum", {"rc=0", "appnum=-1"});
  if (command == "get_my_kvsname")
    return answer("my_kvsname", {"rc=0", Field("kvsname", facts_.name)});
  if (command == "put") return answer("put_result", {Field("rc", Put(request))});
  if (command == "get") {
    const auto value = Find(request);
    if (!value) return answer("get_result", {"rc=1"});
    return answer("get_result", {"rc=0", Field("value", *value)});
  }
  if (command != "barrier_in" || request.Field("group")) return false;
  Fence(index, request.version);
  return true;
}

bool PmiServer::TakeOfVersion2(size_t index, const PmiRequest& request) {
  const std::string& command = request.command;
  const auto answer = [&](std::string_view name, const std::vector<std::string>& fields) {
    Answer(index, request, name, fields);
    return true;
  };
  if (command == "fullinit")
    return answer("fullinit-response",
                  {"rc=0", "pmi-version=2", "pmi-subversion=0", Field("rank", facts_.tasks[index]),
                   Field("size", facts_.size), "appnum=-1", "debugged=FALSE", "pmiverbose=FALSE"});
  if (command == "job-getid")
    return answer("job-getid-response", {"rc=0", Field("jobid", facts_.name)});
  if (command == "kvs-put") return answer("kvs-put-response", {Field("rc", Put(request))});
  if (command == "kvs-get") return answer("kvs-get-response", Found(Find(request)));
  if (command == "info-getjobattr") {
    if (request.Field("key") == "universeSize")
      return answer("info-getjobattr-response", Found(std::to_string(facts_.size)));
    const bool is_mapping = request.Field("key") == kMapping;
    return answer("info-getjobattr-response", Found(is_mapping ? Find(request) : std::nullopt));
  }
  if (command == "info-putnodeattr")
    PutNodeAttribute(index, request);
  else if (command == "info-getnodeattr")
    GetNodeAttribute(index, request);
  else if (command == "kvs-fence")
    Fence(index, request.version);
  else
    return false;
  return true;
}

void PmiServer::Answer(size_t index, const PmiRequest& request, std::string_view command,
                       const std::vector<std::string>& fields) {
  tasks_[index].out += PmiReply(request.version, command, fields);
}

int PmiServer::Put(const PmiRequest& request) {
  const std::string_view key = request.Field("key").value_or("");
  const std::string_view value = request.Field("value").value_or("");
  if (key.empty() || key.size() > kMaxKey) return kKeyTooLong;
  if (value.size() > kMaxValue) return kValueTooLong;
  put_.Add(key);
  put_.Add(value);
  return 0;
}

std::optional<std::string> PmiServer::Find(const PmiRequest& request) const {
  const auto found = values_.find(std::string(request.Field("key").value_or("")));
  if (found == values_.end()) return std::nullopt;
  return found->second;
}

void PmiServer::Fence(size_t index, PmiVersion version) {
  if (tasks_[index].fenced) return;
  tasks_[index].fenced = version;
  if (++in_fence_ < tasks_.size()) return;
  host_->Contribute({.name = "pmi " + std::to_string(fences_), .nodes = {}, .data = put_.Take()});
  put_ = FieldWriter();
}

bool PmiServer::Deliver(const Gathered& gathered) {
  if (gathered.name != "pmi " + std::to_string(fences_)) return false;
  ++fences_;
  in_fence_ = 0;
  FieldReader reader(gathered.data);
  while (!reader.failed() && !reader.at_end()) {
    std::string key = reader.Text();
    values_[std::move(key)] = reader.Text();
  }
  for (size_t i = 0; i < tasks_.size(); ++i) {
    Task& task = tasks_[i];
    if (!task.fenced) continue;
    task.out +=
        PmiReply(*task.fenced, task.fenced == PmiVersion::k1 ? "barrier_out" : "kvs-fence-response",
                 {"rc=0"});
    task.fenced.reset();
    Write(i);
  }
  return true;
}

void PmiServer::PutNodeAttribute(size_t index, const PmiRequest& request) {
  const std::string key(request.Field("key").value_or(""));
  const std::string value(request.Field("value").value_or(""));
  const int code = key.size() > kMaxKey       ? kKeyTooLong
                   : value.size() > kMaxValue ? kValueTooLong
                                              : 0;
  Answer(index, request, "info-putnodeattr-response", {Field("rc", code)});
  if (code != 0) return;
  node_attributes_[key] = value;
  for (size_t i = 0; i < tasks_.size(); ++i) {
    if (tasks_[i].awaited_node != key) continue;
    tasks_[i].awaited_node.reset();
    Answer(i, request, "info-getnodeattr-response", Found(value));
    if (i != index) Write(i);
  }
}

void PmiServer::GetNodeAttribute(size_t index, const PmiRequest& request) {
  std::string key(request.Field("key").value_or(""));
  const auto found = node_attributes_.find(key);
  if (found == node_attributes_.end() && request.Field("wait") == "TRUE") {
    tasks_[index].awaited_node = std::move(key);
    return;
  }
  Answer(index, request, "info-getnodeattr-response",
         Found(found == node_attributes_.end() ? std::nullopt : std::optional(found->second)));
}

void PmiServer::Refuse(size_t index, const PmiRequest& request) {
  const std::string& command = request.command;
  std::string answer = command + (request.version == PmiVersion::k1 ? "_result" : "-response");
  std::string what = "the request '" + command.substr(0, kMaxKey) + "'";
  if (command == "mcmd" || command == "spawn") {
    // Of several parts, with the last.
    if (request.Field("totspawns") != request.Field("spawnssofar")) return;
    if (command == "mcmd") answer = "spawn_result";
    what = "starting more processes (MPI_Comm_spawn)";
  } else if (command.contains("publish") || command.contains("lookup")) {
    answer = command.substr(0, command.find("_name")) +
             (request.version == PmiVersion::k1 ? "_result" : "-response");
    what = "publishing names (MPI_Publish_name)";
  } else if (command == "barrier_in") {
    answer = "barrier_out";
    what = "a barrier of some of the tasks";
  }
  host_->Complain(index, what + " is not possible by srun: mpirun and mpiexec may have it");
  Answer(index, request, answer,
         {Field("rc", kOther),
          request.version == PmiVersion::k1 ? "msg=not_supported" : "errmsg=not supported"});
}

}  // namespace holdfast::pod
