// holdfast-coordinator: one per cluster, run by the service user (config: coordinator.user).
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/log.h"
#include "config/config.h"
#include "coordinator/server.h"

int main(int argc, char** argv) {
  using namespace holdfast;
  std::string config_path = config::kDefaultPath;
  std::string log_path;
  bool check_config = false;
  CLI::App app(
      "Holdfast's coordinator: saves jobs before they lose their nodes, and brings them back");
  app.set_version_flag("--version", HOLDFAST_VERSION);
  app.add_option("--config", config_path, "the site's settings")->capture_default_str();
  app.add_option("--log", log_path, "append to this file instead of writing to stderr");
  app.add_flag("--check-config", check_config, "say whether the settings are valid, and end");
  CLI11_PARSE(app, argc, argv);

  const auto fail = [](const Error& error) {
    std::fprintf(stderr, "holdfast-coordinator: %s\n", error.message().c_str());
    return 1;
  };
  const Result<config::Config> config = config::Load(config_path);
  if (!config) return fail(config.error());
  if (check_config) {
    std::printf("%s: valid\n", config_path.c_str());
    return 0;
  }
  if (const Status opened = log::Open("holdfast-coordinator", log_path); !opened)
    return fail(opened.error());

  // Blocked here, so that every thread inherits it and the signals wait for sigwait.
  sigset_t awaited;
  sigemptyset(&awaited);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&awaited, number);
  pthread_sigmask(SIG_BLOCK, &awaited, nullptr);

  auto server = coordinator::Server::Start(*config);
  if (!server) return fail(server.error());
  int signal = 0;
  while (sigwait(&awaited, &signal) == 0 && signal == SIGHUP) {
    if (const Result<config::Config> read = config::Load(config_path))
      (*server)->Reload(*read);
    else
      log::Failure("reload", read.error(), {{"next", "what was read before stands"}});
  }
  log::Info("stopping", {{"signal", signal}});
  return 0;
}
