// Who may see and do what, as Slurm has it: users their own jobs, account coordinators those of
// their accounts, operators all. Slurm and its database are asked on a thread of its own once in a
// while, so that no request waits for them; while they do not answer, what they said last counts,
// of the database for some time. Thread-safe.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "coordinator/job.h"
#include "coordinator/rest_public.h"
#include "coordinator/slurm_client.h"

namespace holdfast::coordinator {

// What one user may, at the moment. A value.
struct Rights {
  uid_t uid = 0;
  bool all = false;                   // see and handle all jobs
  std::vector<std::string> accounts;  // and those of these
  // May see the job, and do with it what its user may.
  bool Cover(const Job& job) const;
};

class RestRights {
 public:
  struct Times {
    std::chrono::milliseconds pause{30'000};
    std::chrono::milliseconds retry{1'000};  // until Slurm has answered for the first time
    std::chrono::milliseconds believed{600'000};
  };
  // Both must outlive it.
  RestRights(SlurmClient& slurm, RestPublic& cluster, const Times& times);
  RestRights(SlurmClient& slurm, RestPublic& cluster) : RestRights(slurm, cluster, Times()) {}
  ~RestRights();

  // Root, Slurm's user, the coordinator's, and Slurm's administrators: may do what concerns more
  // than jobs.
  bool IsAdministrator(uid_t uid);
  // Those that no limit of requests counts for: the first three.
  bool IsOfTheSystem(uid_t uid);
  Rights Of(uid_t uid);

 private:
  void Run();
  void Learn();
  // None, if Slurm has said nothing of that user.
  SlurmUser Known(uid_t uid);

  SlurmClient& slurm_;
  RestPublic& cluster_;
  const Times times_;
  std::mutex mutex_;
  std::condition_variable stopping_changed_;
  bool stopping_ = false;
  std::optional<uid_t> slurm_user_;
  std::map<uid_t, SlurmUser> users_;  // but for those with no more rights than anybody
  std::chrono::steady_clock::time_point heard_;
  std::thread thread_;
};

}  // namespace holdfast::coordinator
