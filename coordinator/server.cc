#include "coordinator/server.h"

#include <fmt/format.h>
#include <pwd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/files.h"
#include "base/log.h"
#include "coordinator/authenticator.h"
#include "coordinator/controller.h"
#include "coordinator/journal.h"
#include "coordinator/metrics.h"
#include "coordinator/rest_server.h"
#include "coordinator/slurm_client.h"
#include "coordinator/timed_slurm.h"
#include "coordinator/warden_service.h"

namespace holdfast::coordinator {
namespace {

// Wardens accept no other user's credential, so running as another would be of no use.
Status CheckUser(const std::string& name) {
  const passwd* user = ::getpwnam(name.c_str());
  if (user == nullptr)
    return Fail(Code::kInvalid, fmt::format("coordinator.user: there is no user '{}'", name));
  if (user->pw_uid != ::geteuid())
    return Fail(Code::kDenied,
                fmt::format("coordinator.user is '{}' (uid {}), but this process runs "
                            "with uid {}: start it as '{}'",
                            name, user->pw_uid, ::geteuid(), name));
  return {};
}

// Each warden is a connection, and each connection a descriptor. Beyond what the service's unit
// allows (LimitNOFILE) only CAP_SYS_RESOURCE would go, which this process does not have.
uint64_t RaiseDescriptorLimit() {
  rlimit limit = {};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

Controller::Options ToOptions(const config::Config& config) {
  Controller::Options options;
  options.policy.restore_attempts = config.coordinator.restore_attempts;
  options.policy.phase_timeout = config.checkpoint.timeout;
  options.policy.keep_after_failure = config.checkpoint.keep_after_failure;
  options.policy.continue_cancelled = config.preemption.cancelled_jobs == "continue";
  options.policy.precopy = config.checkpoint.precopy_cpu > 0;
  options.policy.plan = {.shortest = config.checkpoint.auto_shortest,
                         .longest = config.checkpoint.auto_longest,
                         .node_lifetime = config.checkpoint.node_lifetime};
  options.poll_interval = config.coordinator.poll_interval;
  options.evacuate_reason = config.coordinator.evacuate_reason;
  return options;
}

RestServer::Settings ToSettings(const config::Config& config) {
  return {.figures = config.coordinator.metrics == "on",
          .requests_each_minute = config.rest.rate,
          .certificate = config.rest.certificate,
          .key = config.rest.key,
          .token_key = config.rest.jwt_key};
}

}  // namespace

struct Server::Parts {
  Metrics metrics;
  std::unique_ptr<Journal> journal;
  std::unique_ptr<SlurmClient> slurm;
  Authenticator authenticator;
  std::unique_ptr<Controller> controller;
  std::unique_ptr<WardenService> wardens;
  std::unique_ptr<RestServer> rest;
};

Server::Server(std::unique_ptr<Parts> parts, const config::Config& config)
    : parts_(std::move(parts)), config_(config) {}

Server::~Server() {
  if (parts_->controller) parts_->controller->Stop();
  if (parts_->wardens) parts_->wardens->Shutdown();
  if (parts_->rest) parts_->rest->Shutdown();
}

void Server::Reload(const config::Config& read) {
  for (const config::Change& change : config::Compare(config_, read)) {
    const log::Fields fields{
        {"setting", change.name}, {"before", change.before}, {"after", change.after}};
    switch (change.applies) {
      case config::Applies::kReload:
        log::Info("setting-changed", fields);
        break;
      case config::Applies::kToJobs:
        log::Info("setting-changed-for-new-jobs", fields);
        break;
      case config::Applies::kRestart:
        log::Warn("setting-needs-restart", fields);
    }
  }
  config_ = config::Reloaded(config_, read);
  parts_->controller->Reload(ToOptions(config_));
  if (const Status applied = parts_->rest->Apply(ToSettings(config_)); !applied)
    log::Failure("reload", applied.error(), {{"next", "what was read before stands"}});
  log::Info("reloaded");
}

Result<std::unique_ptr<Server>> Server::Start(const config::Config& config) {
  HOLDFAST_CHECK(CheckUser(config.coordinator.user));
  std::unique_ptr<Server> server(new Server(std::make_unique<Parts>(), config));
  Parts& parts = *server->parts_;
  HOLDFAST_CHECK(MakeDirectories(config.coordinator.state_directory, 0700));
  HOLDFAST_TRY(parts.journal, Journal::Open(config.coordinator.state_directory + "/journal.db"));
  parts.slurm = TimeRequests(MakeLibslurmClient(), parts.metrics);
  if (const Result<Cluster> cluster = parts.slurm->LoadCluster(); !cluster)
    log::Failure("slurm", cluster.error());  // it may come later
  parts.controller =
      std::make_unique<Controller>(ToOptions(config), *parts.journal, *parts.slurm, parts.metrics);
  HOLDFAST_CHECK(parts.controller->Start());
  parts.wardens =
      std::make_unique<WardenService>(*parts.controller, *parts.slurm, parts.authenticator);
  HOLDFAST_CHECK(parts.wardens->Listen(fmt::format("[::]:{}", config.coordinator.warden_port)));
  parts.rest = std::make_unique<RestServer>(*parts.controller, *parts.slurm, parts.authenticator,
                                            parts.metrics);
  HOLDFAST_CHECK(parts.rest->Apply(ToSettings(config)));
  HOLDFAST_CHECK(parts.rest->Listen("::", config.coordinator.rest_port));
  log::Info("listening", {{"wardens", parts.wardens->port()},
                          {"rest", parts.rest->port()},
                          {"descriptors", RaiseDescriptorLimit()}});
  return server;
}

}  // namespace holdfast::coordinator
