// The REST API for people and tools: docs/operations/rest-api.md. Here are its routes, and what
// every request goes through: who asks (rest_caller.h), how often (rest_rates.h), a line of the
// audit log for what changes something. What is answered is in rest_jobs.h, rest_nodes.h,
// rest_events.h and, to anybody, rest_public.h.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "base/result.h"
#include "coordinator/authenticator.h"
#include "coordinator/controller.h"
#include "coordinator/metrics.h"
#include "coordinator/rest_caller.h"
#include "coordinator/slurm_client.h"

namespace holdfast::coordinator {

class RestGate;

class RestServer {
 public:
  // All must outlive it.
  RestServer(Controller& controller, SlurmClient& slurm, Authenticator& authenticator,
             Metrics& metrics);
  ~RestServer();

  struct Settings {
    bool figures = true;                // anybody may see /metrics
    uint32_t requests_each_minute = 0;  // of one user; 0: as many as they like
    std::string certificate, key;       // files, of TLS; empty: there is none
    std::string token_key;              // a file, of Slurm's tokens; empty: none is accepted
  };
  // From now on. On an error what was before stands, but for the first two.
  Status Apply(const Settings& settings);
  // Port 0 picks a free one.
  Status Listen(const std::string& host, int port);
  int port() const { return port_; }
  // Waits for requests under way. Stop the controller first.
  void Shutdown();

 private:
  struct Parts;
  using Handler = std::function<void(const httplib::Request&, const Caller&, httplib::Response&)>;
  // What every request goes through that needs to be somebody's.
  void Serve(const httplib::Request& request, httplib::Response& response, const Handler& handler);
  void Route();
  // What needs no credential.
  void RoutePublic();
  RestGate& server();

  Controller& controller_;
  std::unique_ptr<Parts> parts_;
  std::thread thread_;
  int port_ = 0;
};

}  // namespace holdfast::coordinator
