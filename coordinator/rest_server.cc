#include "coordinator/rest_server.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/numbers.h"
#include "coordinator/clock.h"
#include "coordinator/rest_body.h"
#include "coordinator/rest_gate.h"
#include "coordinator/rest_json.h"
#include "coordinator/rest_public.h"
#include "coordinator/state.h"
#include "coordinator/why.h"
#include "protocol/rest.h"

namespace holdfast::coordinator {
namespace {

using nlohmann::json;

constexpr size_t kMaxBodyBytes = 64 * 1024;
constexpr size_t kRequestThreads = 32;  // requests that wait for a checkpoint hold one each
constexpr int kMaxWaitSeconds = 600;
constexpr size_t kMaxReasonBytes = 200;

int HttpStatus(Code code) {
  switch (code) {
    case Code::kInvalid:
      return 400;
    case Code::kDenied:
      return 403;
    case Code::kNotFound:
      return 404;
    case Code::kConflict:
      return 409;
    case Code::kUnavailable:
      return 503;
    default:
      return 500;
  }
}

std::string NextStep(Code code, const std::string& job_id) {
  switch (code) {
    case Code::kConflict:
      return fmt::format("holdfast why {}", job_id);
    case Code::kNotFound:
      return "holdfast list";
    case Code::kUnavailable:
      return "try again in a moment";
    default:
      return "";
  }
}

Result<int> ReadWait(const httplib::Request& request) {
  if (!request.has_param("wait")) return 0;
  const std::string text = request.get_param_value("wait");
  int seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size() || seconds < 0 ||
      seconds > kMaxWaitSeconds)
    return Fail(Code::kInvalid,
                fmt::format("wait={}: seconds from 0 to {} are expected", text, kMaxWaitSeconds));
  return seconds;
}

void AnswerError(httplib::Response& response, const Error& error, int status,
                 const std::string& next) {
  response.status = status;
  response.set_content(
      protocol::ToText(ToProblem(error, status, httplib::status_message(status), next)),
      "application/problem+json");
}

void Answer(const httplib::Request& request, httplib::Response& response,
            const Result<std::string>& result, int status) {
  if (result) {
    response.status = status;
    response.set_content(*result, "application/json");
    return;
  }
  const std::string job_id = request.matches.size() > 1 ? request.matches[1].str() : "";
  const Code code = result.error().code();
  const std::string remedy = RemedyIn(result.error().message());
  AnswerError(response, result.error(), HttpStatus(code),
              remedy.empty() ? NextStep(code, job_id) : remedy);
}

// Nobody has proved who asks.
void AnswerStranger(httplib::Response& response, const Error& error) {
  if (error.code() != Code::kDenied)
    return AnswerError(response, error, HttpStatus(error.code()), NextStep(error.code(), ""));
  AnswerError(response, error, 401,
              "check that munged runs here and that the clocks agree: holdfast doctor");
}

}  // namespace

RestServer::RestServer(Controller& controller, SlurmClient& slurm, Authenticator& authenticator,
                       Metrics& metrics)
    : controller_(controller),
      authenticator_(authenticator),
      public_(std::make_unique<RestPublic>(controller, slurm, authenticator, metrics)),
      server_(std::make_unique<RestGate>(RestGate::Limits{.threads = kRequestThreads})) {
  server_->set_payload_max_length(kMaxBodyBytes);
  server_->set_ipv6_v6only(false);
  server_->set_error_handler([](const httplib::Request&, httplib::Response& response) {
    if (!response.body.empty()) return;
    const Code code = response.status == 404 ? Code::kNotFound : Code::kInvalid;
    AnswerError(response,
                Error(code, fmt::format("HTTP {}: no such resource or method", response.status)),
                response.status, "see docs/operations/rest-api.md");
  });
  server_->set_logger([&metrics](const httplib::Request&, const httplib::Response& response) {
    metrics.Add(Metric::kRequests, {fmt::format("{}", response.status)});
  });
  Route();
  RoutePublic();
}

RestServer::~RestServer() { Shutdown(); }

// One of the threads that may wait for a checkpoint: not all of them, and no user has most.
class RestServer::Seat {
 public:
  Seat(RestServer& server, uid_t uid) : server_(server), uid_(uid) {
    const std::lock_guard lock(server_.seats_mutex_);
    size_t all = 0;
    for (const auto& [user, count] : server_.seats_) all += count;
    taken_ = all < kRequestThreads * 3 / 4 && server_.seats_[uid] < kRequestThreads / 4;
    if (taken_) ++server_.seats_[uid];
  }
  Seat(const Seat&) = delete;
  Seat& operator=(const Seat&) = delete;
  ~Seat() {
    const std::lock_guard lock(server_.seats_mutex_);
    if (taken_) --server_.seats_[uid_];
    if (server_.seats_[uid_] == 0) server_.seats_.erase(uid_);
  }
  bool taken() const { return taken_; }

 private:
  RestServer& server_;
  const uid_t uid_;
  bool taken_ = false;
};

void RestServer::Route() {
  // Answers a success with `status`, unless the handler says otherwise.
  const auto handle = [this](auto handler, int status) {
    return [this, handler, status](const httplib::Request& request, httplib::Response& response) {
      const Result<uid_t> uid = Authenticate(request);
      if (!uid) return AnswerStranger(response, uid.error());
      int answer_status = status;
      const Result<std::string> result = handler(request, *uid, answer_status);
      Answer(request, response, result, answer_status);
      Prove(request, response);
    };
  };
  using HttpRequest = httplib::Request;
  server_->Get("/v1/jobs",
               handle([this](const HttpRequest&, uid_t uid, int&) { return ListJobs(uid); }, 200));
  server_->Get(R"(/v1/jobs/(\d+(?:_\d+)?))", handle([this](const HttpRequest& request, uid_t uid,
                                                           int&) { return ShowJob(request, uid); },
                                                    200));
  server_->Post(R"(/v1/jobs/(\d+(?:_\d+)?)/save)",
                handle([this](const HttpRequest& request, uid_t uid,
                              int& status) { return Save(request, uid, false, status); },
                       202));
  server_->Post(R"(/v1/jobs/(\d+(?:_\d+)?)/migrate)",
                handle([this](const HttpRequest& request, uid_t uid,
                              int& status) { return Save(request, uid, true, status); },
                       202));
  server_->Post(R"(/v1/jobs/(\d+(?:_\d+)?)/resume)",
                handle([this](const HttpRequest& request, uid_t uid,
                              int&) { return ResumeJob(request, uid); },
                       202));
  server_->Get(
      "/v1/expired",
      handle([this](const HttpRequest&, uid_t uid, int&) { return ListExpired(uid); }, 200));
  server_->Post(R"(/v1/jobs/(\d+(?:_\d+)?)/removed)",
                handle([this](const HttpRequest& request, uid_t uid,
                              int&) { return NoteRemoved(request, uid); },
                       200));
  server_->Post(
      R"(/v1/nodes/([A-Za-z0-9._-]+)/evacuate)",
      handle([this](const HttpRequest& request, uid_t uid, int&) { return Evacuate(request, uid); },
             202));
}

void RestServer::RoutePublic() {
  server_->Get("/v1/health", [this](const httplib::Request& request, httplib::Response& response) {
    response.set_content(public_->Health(), "application/json");
    response.status = 200;
    if (Authenticate(request)) Prove(request, response);
  });
  server_->Get("/healthz", [this](const httplib::Request&, httplib::Response& response) {
    (void)controller_.Find(0U);  // takes the lock that every step of a job takes
    response.set_content("ok\n", "text/plain");
  });
  server_->Get("/readyz", [this](const httplib::Request&, httplib::Response& response) {
    const std::string obstacles = public_->Obstacles();
    response.status = obstacles.empty() ? 200 : 503;
    response.set_content(obstacles.empty() ? "ok\n" : obstacles, "text/plain");
  });
  server_->Get("/metrics", [this](const httplib::Request&, httplib::Response& response) {
    const Result<std::string> figures = public_->Figures(server_->Waiting());
    if (!figures) return AnswerError(response, figures.error(), 404, "");
    response.set_content(*figures, "text/plain; version=0.0.4; charset=utf-8");
  });
}

void RestServer::ShowFigures(bool show) { public_->ShowFigures(show); }

Status RestServer::Listen(const std::string& host, int port) {
  if (port == 0)
    port_ = server_->bind_to_any_port(host);
  else
    port_ = server_->bind_to_port(host, port) ? port : -1;
  if (port_ <= 0)
    return Fail(Code::kUnavailable,
                fmt::format("listening for REST on {}:{}: the address cannot be had; does another "
                            "coordinator run?",
                            host, port));
  thread_ = std::thread([this] { server_->listen_after_bind(); });
  server_->wait_until_ready();
  return {};
}

void RestServer::Shutdown() {
  server_->stop();
  if (thread_.joinable()) thread_.join();
}

Result<uid_t> RestServer::Authenticate(const httplib::Request& request) {
  const std::string header = request.get_header_value("Authorization");
  if (!header.starts_with(protocol::kRestScheme))
    return Fail(Code::kDenied, "the request carries no 'Authorization: Munge CREDENTIAL'");
  HOLDFAST_TRY(const protocol::Credential credential,
               authenticator_.Unseal(header.substr(protocol::kRestScheme.size())));
  if (credential.payload != protocol::RestPurpose(request.method, request.target, request.body))
    return Fail(Code::kDenied, "the credential was made for another request");
  return credential.uid;
}

void RestServer::Prove(const httplib::Request& request, httplib::Response& response) {
  const std::string credential =
      request.get_header_value("Authorization").substr(protocol::kRestScheme.size());
  const Result<std::string> proof =
      authenticator_.Seal(protocol::AnswerPurpose(credential, response.status, response.body));
  // Who asked does not believe an answer without one.
  if (!proof) return log::Failure("answer", proof.error());
  response.set_header(protocol::kRestProof, std::string(protocol::kRestScheme) + *proof);
}

bool RestServer::SeesAll(uid_t uid) {
  if (uid == 0 || uid == ::geteuid()) return true;
  const Result<Cluster> cluster = public_->GetCluster();
  return cluster && uid == cluster->slurm_user;
}

Result<Job> RestServer::FindJob(const httplib::Request& request, uid_t uid) {
  const std::string text = request.matches[1];
  const size_t line = text.find('_');
  const auto number = ParseNumber<uint32_t>(text.substr(0, line)).value_or(0);
  std::optional<Job> job;
  if (line == text.npos)
    job = controller_.Find(number);
  else if (const auto task = ParseNumber<uint32_t>(text.substr(line + 1)))
    job = controller_.Find(ArrayTask{.job = number, .task = *task});
  // Somebody else's job and none at all look the same.
  if (!job || (job->uid != uid && !SeesAll(uid)))
    return Fail(Code::kNotFound,
                fmt::format("job {} is not known here: it was not submitted with --checkpoint, has "
                            "not started yet, or is not yours",
                            text));
  return *job;
}

Result<std::string> RestServer::ListJobs(uid_t uid) {
  const bool all = SeesAll(uid);
  json jobs = json::array();
  for (const Job& job : controller_.List())
    if (all || job.uid == uid) jobs.push_back(Summary(job));
  return protocol::ToText(json{{"jobs", jobs}});
}

Result<std::string> RestServer::ShowJob(const httplib::Request& request, uid_t uid) {
  HOLDFAST_TRY(const Job job, FindJob(request, uid));
  HOLDFAST_TRY(const History history, controller_.HistoryOf(job.id, kHistoryKept));
  json details = Details(job, history, NowNs());
  const auto kept_for = KeptFor(job, controller_.policy());
  details["kept_for_seconds"] = kept_for ? json(kept_for->count()) : json(nullptr);
  return protocol::ToText(details);
}

Result<std::string> RestServer::ListExpired(uid_t uid) {
  if (!SeesAll(uid))
    return Fail(Code::kDenied,
                "what has expired is for root, Slurm's user and the coordinator's to see; "
                "`holdfast prune JOB --keep=0` removes what a job of yours has left");
  json jobs = json::array();
  for (const Job& job : controller_.Expired())
    jobs.push_back({{"job_id", job.id},
                    {"cluster", job.cluster},
                    {"submitted", job.submitted},
                    {"uid", job.uid},
                    {"gid", job.gid},
                    {"directory", job.options.directory}});
  return protocol::ToText(json{{"jobs", jobs}});
}

Result<std::string> RestServer::NoteRemoved(const httplib::Request& request, uid_t uid) {
  HOLDFAST_TRY(const Job job, FindJob(request, uid));
  HOLDFAST_TRY(const json body, ParseBody(request.body, {"checkpoints", "all"}));
  Removed removed;
  HOLDFAST_TRY(removed.all, ReadFlag(body, "all"));
  const json checkpoints = body.value("checkpoints", json::array());
  if (!checkpoints.is_array() ||
      !std::ranges::all_of(checkpoints, [](const json& n) { return n.is_number_unsigned(); }))
    return Fail(Code::kInvalid, "'checkpoints' must be a list of checkpoints' numbers");
  removed.checkpoints = checkpoints.get<std::vector<uint32_t>>();
  HOLDFAST_CHECK(controller_.NoteRemoved(job.id, removed));
  return protocol::ToText(json{{"job_id", job.id}});
}

Result<std::string> RestServer::Save(const httplib::Request& request, uid_t uid, bool migrate,
                                     int& status) {
  HOLDFAST_TRY(const Job job, FindJob(request, uid));
  HOLDFAST_TRY(int wait_seconds, ReadWait(request));
  const Seat seat(*this, uid);
  // It is answered at once: the checkpoint is under way.
  if (!seat.taken()) wait_seconds = 0;
  Wish wish{.reason = migrate ? Reason::kMigrate : Reason::kSave};
  if (migrate) {
    HOLDFAST_TRY(const json body, ParseBody(request.body, {"exclude", "nodes"}));
    HOLDFAST_TRY(wish.excluded, ReadNodes(body, "exclude"));
    HOLDFAST_TRY(wish.nodes, ReadNumber(body, "nodes"));
    if (wish.excluded.empty() && wish.nodes == 0)
      std::ranges::copy_if(job.nodes(), std::back_inserter(wish.excluded),
                           [&](const std::string& node) { return !job.must_be_on(node); });
    wish.stop = true;
  } else {
    HOLDFAST_TRY(const json body, ParseBody(request.body, {"stop"}));
    HOLDFAST_TRY(wish.stop, ReadFlag(body, "stop"));
    wish.hold = wish.stop;
  }
  HOLDFAST_TRY(const uint32_t number, controller_.Save(job.id, std::move(wish)));
  HOLDFAST_TRY(const Checkpoint checkpoint,
               controller_.Await(job.id, number, std::chrono::seconds(wait_seconds)));
  if (!checkpoint.error.empty()) return Fail(Code::kInternal, checkpoint.error);
  if (checkpoint.committed_ns != 0) status = 200;
  return protocol::ToText(
      {{"job_id", job.id},
       {"checkpoint", ToJson(checkpoint, controller_.Find(job.id).value_or(job))}});
}

Result<std::string> RestServer::ResumeJob(const httplib::Request& request, uid_t uid) {
  HOLDFAST_TRY(const Job job, FindJob(request, uid));
  HOLDFAST_TRY(const json body,
               ParseBody(request.body, {"exclude", "nodes", "checkpoint", "from_start"}));
  Resume resume;
  HOLDFAST_TRY(resume.excluded, ReadNodes(body, "exclude"));
  HOLDFAST_TRY(resume.nodes, ReadNumber(body, "nodes"));
  HOLDFAST_TRY(resume.from_start, ReadFlag(body, "from_start"));
  HOLDFAST_TRY(resume.checkpoint, ReadNumber(body, "checkpoint"));
  if (resume.from_start && resume.checkpoint != 0)
    return Fail(Code::kInvalid, "'from_start' and 'checkpoint' exclude each other");
  HOLDFAST_CHECK(controller_.ResumeJob(job.id, resume));
  return protocol::ToText(json{{"job_id", job.id}});
}

Result<std::string> RestServer::Evacuate(const httplib::Request& request, uid_t uid) {
  const std::string node = request.matches[1];
  if (!SeesAll(uid))
    return Fail(Code::kDenied,
                fmt::format("evacuating node {0} is for root, Slurm's user and the coordinator's; "
                            "`holdfast migrate JOB --exclude {0}` moves a job of yours",
                            node));
  HOLDFAST_TRY(const json body, ParseBody(request.body, {"reason"}));
  const json reason = body.value("reason", json("evacuated"));
  if (!reason.is_string() || reason.get_ref<const std::string&>().size() > kMaxReasonBytes)
    return Fail(Code::kInvalid,
                fmt::format("'reason' must be a text of at most {} bytes", kMaxReasonBytes));
  HOLDFAST_TRY(const std::vector<uint32_t> jobs,
               controller_.Evacuate({.node = node,
                                     .cause = Reason::kEvacuate,
                                     .reason = "holdfast: " + reason.get<std::string>()}));
  return protocol::ToText(json{{"node", node}, {"jobs", jobs}});
}

}  // namespace holdfast::coordinator
