// The REST API for people and tools: docs/operations/rest-api.md. Every request carries a MUNGE
// credential (protocol/rest.h), but for what rest_public.h tells anybody; users reach their own
// jobs, root, Slurm's user and the coordinator's all.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/result.h"
#include "coordinator/authenticator.h"
#include "coordinator/controller.h"
#include "coordinator/metrics.h"
#include "coordinator/slurm_client.h"

namespace httplib {
struct Request;
struct Response;
}  // namespace httplib

namespace holdfast::coordinator {

class RestGate;
class RestPublic;

class RestServer {
 public:
  // All must outlive it.
  RestServer(Controller& controller, SlurmClient& slurm, Authenticator& authenticator,
             Metrics& metrics);
  ~RestServer();

  // Port 0 picks a free one.
  Status Listen(const std::string& host, int port);
  int port() const { return port_; }
  // Whether anybody may see /metrics.
  void ShowFigures(bool show);
  // Waits for requests under way. Stop the controller first.
  void Shutdown();

 private:
  class Seat;
  // Whose request it is: kDenied unless its credential proves it.
  Result<uid_t> Authenticate(const httplib::Request& request);
  // So that the answer is known to be the coordinator's, and the one to this request.
  void Prove(const httplib::Request& request, httplib::Response& response);
  bool SeesAll(uid_t uid);
  // The job named in the request's path, if this user may know of it.
  Result<Job> FindJob(const httplib::Request& request, uid_t uid);
  void Route();
  // What needs no credential.
  void RoutePublic();

  // Each answers a request of the user `uid`.
  Result<std::string> ListJobs(uid_t uid);
  Result<std::string> ShowJob(const httplib::Request& request, uid_t uid);
  // Save and migrate; sets the HTTP status of a success.
  Result<std::string> Save(const httplib::Request& request, uid_t uid, bool migrate, int& status);
  Result<std::string> ResumeJob(const httplib::Request& request, uid_t uid);
  Result<std::string> ListExpired(uid_t uid);
  Result<std::string> NoteRemoved(const httplib::Request& request, uid_t uid);
  Result<std::string> Evacuate(const httplib::Request& request, uid_t uid);

  Controller& controller_;
  Authenticator& authenticator_;
  std::unique_ptr<RestPublic> public_;
  std::unique_ptr<RestGate> server_;
  std::mutex seats_mutex_;
  std::map<uid_t, size_t> seats_;  // who has how many
  std::thread thread_;
  int port_ = 0;
};

}  // namespace holdfast::coordinator
