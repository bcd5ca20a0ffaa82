// Jobs and their checkpoints in the REST API. Each function answers one request, of the caller, who
// learns nothing of jobs that are not theirs to handle. Used by rest_server.cc. Thread-safe.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "base/result.h"
#include "coordinator/controller.h"
#include "coordinator/rest_answer.h"
#include "coordinator/rest_caller.h"
#include "coordinator/rest_rights.h"

namespace holdfast::coordinator {

class RestJobs {
 public:
  // All must outlive it. `seats`: requests that may wait for a checkpoint at the same time, of all
  // users, and of one.
  RestJobs(Controller& controller, SlurmClient& slurm, RestRights& rights,
           std::pair<size_t, size_t> seats)
      : controller_(controller), slurm_(slurm), rights_(rights), seats_(seats) {}

  Result<Reply> List(const httplib::Request& request, const Caller& caller);
  Result<Reply> Show(const httplib::Request& request, const Caller& caller);
  Result<Reply> ListCheckpoints(const httplib::Request& request, const Caller& caller);
  Result<Reply> ShowCheckpoint(const httplib::Request& request, const Caller& caller);
  Result<Reply> RemoveCheckpoint(const httplib::Request& request, const Caller& caller);
  Result<Reply> Save(const httplib::Request& request, const Caller& caller);
  Result<Reply> Stop(const httplib::Request& request, const Caller& caller);
  Result<Reply> Migrate(const httplib::Request& request, const Caller& caller);
  Result<Reply> Resume(const httplib::Request& request, const Caller& caller);
  Result<Reply> ListExpired(const httplib::Request& request, const Caller& caller);
  Result<Reply> NoteRemoved(const httplib::Request& request, const Caller& caller);

 private:
  class Seat;
  // The job named in the request's path, if the caller may know of it.
  Result<Job> Find(const httplib::Request& request, const Caller& caller);
  Result<Reply> Begin(const httplib::Request& request, const Caller& caller, const Job& job,
                      Wish wish);

  Controller& controller_;
  SlurmClient& slurm_;
  RestRights& rights_;
  const std::pair<size_t, size_t> seats_;
  std::mutex seats_mutex_;
  std::map<uid_t, size_t> taken_;  // who has how many
};

}  // namespace holdfast::coordinator
