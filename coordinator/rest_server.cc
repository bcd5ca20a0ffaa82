#include "coordinator/rest_server.h"

#include <fmt/format.h>

#include "base/log.h"
#include "coordinator/rest_events.h"
#include "coordinator/rest_gate.h"
#include "coordinator/rest_jobs.h"
#include "coordinator/rest_nodes.h"
#include "coordinator/rest_public.h"
#include "coordinator/rest_rates.h"
#include "coordinator/rest_rights.h"
#include "coordinator/rest_token.h"

namespace holdfast::coordinator {
namespace {

using HttpRequest = httplib::Request;
using HttpResponse = httplib::Response;

constexpr size_t kMaxBodyBytes = 64 * 1024;
constexpr size_t kRequestThreads = 32;
// Of these, how many may wait for a checkpoint, of all users and of one.
constexpr std::pair<size_t, size_t> kSeats{kRequestThreads - 8, kRequestThreads / 4};
constexpr size_t kMaxAuditedBytes = 500;
constexpr uint32_t kStrangersAudited = 60;  // each minute

// One line for whatever somebody wanted changed, whether or not it came to that.
void Audit(const HttpRequest& request, const HttpResponse& response, const Caller* caller) {
  log::Info("audit", {{"uid", caller != nullptr ? fmt::format("{}", caller->uid) : "unknown"},
                      {"user", caller != nullptr ? UserOf(caller->uid).value_or("") : ""},
                      {"by", caller != nullptr ? caller->by : ""},
                      {"from", request.remote_addr},
                      {"action", request.method + " " + request.target.substr(0, kMaxAuditedBytes)},
                      {"body", request.body.substr(0, kMaxAuditedBytes)},
                      {"status", response.status}});
}

}  // namespace

// All that answers; destroyed in the opposite order.
struct RestServer::Parts {
  Parts(Controller& controller, SlurmClient& slurm, Authenticator& authenticator, Metrics& metrics)
      : open(controller, slurm, authenticator, metrics),
        callers(authenticator, open),
        rights(slurm, open),
        jobs(controller, slurm, rights, kSeats),
        nodes(controller, slurm, rights),
        events(controller, rights, RestEvents::Limits()),
        gate(RestGate::Limits{.threads = kRequestThreads}) {}

  RestPublic open;
  RestCallers callers;
  RestRights rights;
  RestRates rates;      // by user
  RestRates strangers;  // lines of the log about all of them
  RestJobs jobs;
  RestNodes nodes;
  RestEvents events;
  RestGate gate;
};

RestServer::RestServer(Controller& controller, SlurmClient& slurm, Authenticator& authenticator,
                       Metrics& metrics)
    : controller_(controller),
      parts_(std::make_unique<Parts>(controller, slurm, authenticator, metrics)) {
  RestGate& gate = parts_->gate;
  gate.set_payload_max_length(kMaxBodyBytes);
  gate.set_ipv6_v6only(false);
  gate.set_error_handler([](const HttpRequest&, HttpResponse& response) {
    if (!response.body.empty()) return;
    const Code code = response.status == 404 ? Code::kNotFound : Code::kInvalid;
    Refuse(response,
           {.status = response.status,
            .code = std::string(CodeName(code)),
            .message = fmt::format("HTTP {}: no such resource or method", response.status),
            .next = "see docs/operations/rest-api.md"});
  });
  gate.set_logger([&metrics](const HttpRequest&, const HttpResponse& response) {
    metrics.Add(Metric::kRequests, {fmt::format("{}", response.status)});
  });
  parts_->strangers.Allow(kStrangersAudited);
  Route();
  RoutePublic();
}

RestServer::~RestServer() { Shutdown(); }

void RestServer::Serve(const HttpRequest& request, HttpResponse& response, const Handler& handler) {
  const bool changes = request.method != "GET";
  const auto caller = parts_->callers.Identify(request, RestGate::current().channel.confidential());
  if (!caller) {
    Refuse(response, caller.error());
    // Whoever reaches the port can be refused without end, and is not to fill the log.
    if (changes && !parts_->strangers.Take(0, std::chrono::steady_clock::now()))
      Audit(request, response, nullptr);
    return;
  }
  const auto now = std::chrono::steady_clock::now();
  const auto wait = parts_->rights.IsOfTheSystem(caller->uid)
                        ? std::nullopt
                        : parts_->rates.Take(caller->uid, now);
  if (wait)
    Refuse(response, {.status = 429,
                      .code = "too-many-requests",
                      .message = "there were more requests of this user than rest.rate allows",
                      .next = fmt::format("try again in {} s", wait->count()),
                      .after = *wait});
  else
    handler(request, *caller, response);
  parts_->callers.Prove(request, response);
  if (changes && !wait) Audit(request, response, &*caller);
}

void RestServer::Route() {
  // `function` of `part` answers.
  const auto by = [this](auto& part, auto function) {
    return [this, &part, function](const HttpRequest& request, HttpResponse& response) {
      Serve(request, response,
            [&](const HttpRequest& asked, const Caller& caller, HttpResponse& answered) {
              Answer(asked, answered, (part.*function)(asked, caller));
            });
    };
  };
  RestJobs& jobs = parts_->jobs;
  RestNodes& nodes = parts_->nodes;
  const std::string job = R"(/v1/jobs/(\d+(?:_\d+)?))";
  const std::string checkpoint = job + R"(/checkpoints/(\d+))";
  server().Get("/v1/jobs", by(jobs, &RestJobs::List));
  server().Get(job, by(jobs, &RestJobs::Show));
  server().Get(job + "/checkpoints", by(jobs, &RestJobs::ListCheckpoints));
  server().Get(checkpoint, by(jobs, &RestJobs::ShowCheckpoint));
  server().Delete(checkpoint, by(jobs, &RestJobs::RemoveCheckpoint));
  server().Post(job + "/save", by(jobs, &RestJobs::Save));
  server().Post(job + "/stop", by(jobs, &RestJobs::Stop));
  server().Post(job + "/migrate", by(jobs, &RestJobs::Migrate));
  server().Post(job + "/resume", by(jobs, &RestJobs::Resume));
  server().Post(job + "/removed", by(jobs, &RestJobs::NoteRemoved));
  server().Get("/v1/expired", by(jobs, &RestJobs::ListExpired));
  server().Get("/v1/nodes", by(nodes, &RestNodes::List));
  server().Post(R"(/v1/nodes/([A-Za-z0-9._-]+)/evacuate)", by(nodes, &RestNodes::Evacuate));
  server().Get("/v1/events", [this](const HttpRequest& request, HttpResponse& response) {
    Serve(request, response,
          [this](const HttpRequest& asked, const Caller& caller, HttpResponse& answered) {
            if (const auto refusal = parts_->events.Open(asked, caller, answered))
              Refuse(answered, *refusal);
          });
  });
}

void RestServer::RoutePublic() {
  RestPublic& open = parts_->open;
  server().Get("/v1/health", [this, &open](const HttpRequest& request, HttpResponse& response) {
    response.set_content(open.Health(), "application/json");
    response.status = 200;
    if (parts_->callers.Identify(request, RestGate::current().channel.confidential()))
      parts_->callers.Prove(request, response);
  });
  server().Get("/healthz", [this](const HttpRequest&, HttpResponse& response) {
    (void)controller_.Find(0U);  // takes the lock that every step of a job takes
    response.set_content("ok\n", "text/plain");
  });
  server().Get("/readyz", [&open](const HttpRequest&, HttpResponse& response) {
    const std::string obstacles = open.Obstacles();
    response.status = obstacles.empty() ? 200 : 503;
    response.set_content(obstacles.empty() ? "ok\n" : obstacles, "text/plain");
  });
  server().Get("/metrics", [this, &open](const HttpRequest& request, HttpResponse& response) {
    const Result<std::string> figures = open.Figures(server().Waiting());
    if (!figures) return Answer(request, response, std::unexpected(figures.error()));
    response.set_content(*figures, "text/plain; version=0.0.4; charset=utf-8");
  });
}

RestGate& RestServer::server() { return parts_->gate; }

Status RestServer::Apply(const Settings& settings) {
  parts_->open.ShowFigures(settings.figures);
  parts_->rates.Allow(settings.requests_each_minute);
  if (settings.certificate.empty() != settings.key.empty())
    return Fail(Code::kInvalid,
                "rest.certificate and rest.key: one is of no use without the other");
  std::shared_ptr<const RestTls> tls;
  if (!settings.certificate.empty()) {
    HOLDFAST_TRY(tls, RestTls::Load(settings.certificate, settings.key));
  }
  parts_->gate.ServeTls(std::move(tls));
  std::string token_key;
  if (!settings.token_key.empty()) {
    HOLDFAST_TRY(token_key, LoadTokenKey(settings.token_key));
  }
  parts_->callers.AcceptTokens(std::move(token_key));
  return {};
}

Status RestServer::Listen(const std::string& host, int port) {
  if (port == 0)
    port_ = server().bind_to_any_port(host);
  else
    port_ = server().bind_to_port(host, port) ? port : -1;
  if (port_ <= 0)
    return Fail(Code::kUnavailable,
                fmt::format("listening for REST on {}:{}: the address cannot be had; does another "
                            "coordinator run?",
                            host, port));
  thread_ = std::thread([this] { server().listen_after_bind(); });
  server().wait_until_ready();
  return {};
}

void RestServer::Shutdown() {
  server().stop();
  if (thread_.joinable()) thread_.join();
}

}  // namespace holdfast::coordinator
