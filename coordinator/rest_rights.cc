#include "coordinator/rest_rights.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "coordinator/rest_caller.h"

namespace holdfast::coordinator {

RestRights::RestRights(SlurmClient& slurm, RestPublic& cluster, const Times& times)
    : slurm_(slurm), cluster_(cluster), times_(times) {
  Learn();
  thread_ = std::thread([this] { Run(); });
}

RestRights::~RestRights() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    stopping_changed_.notify_all();
  }
  thread_.join();
}

void RestRights::Learn() {
  const Result<Cluster> cluster = cluster_.GetCluster();
  const std::lock_guard lock(mutex_);
  if (cluster) slurm_user_ = cluster->slurm_user;
}

void RestRights::Run() {
  std::string failing;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    const Result<std::vector<SlurmUser>> listed = slurm_.LoadUsers();
    std::map<uid_t, SlurmUser> users;
    if (listed)
      for (const SlurmUser& user : *listed)
        if (const auto uid = UidOf(user.name)) users[*uid] = user;
    const std::string failure = listed ? "" : listed.error().message();
    if (!listed && failure != failing) log::Failure("slurm-users", listed.error());
    failing = failure;
    Learn();
    lock.lock();
    if (listed) {
      users_ = std::move(users);
      heard_ = std::chrono::steady_clock::now();
    }
    stopping_changed_.wait_for(lock, listed && slurm_user_ ? times_.pause : times_.retry,
                               [this] { return stopping_; });
  }
}

SlurmUser RestRights::Known(uid_t uid) {
  const std::lock_guard lock(mutex_);
  const auto found = users_.find(uid);
  if (found == users_.end() || std::chrono::steady_clock::now() - heard_ > times_.believed)
    return {};
  return found->second;
}

bool RestRights::IsOfTheSystem(uid_t uid) {
  if (uid == 0 || uid == ::geteuid()) return true;
  const std::lock_guard lock(mutex_);
  return slurm_user_ == uid;
}

bool RestRights::IsAdministrator(uid_t uid) {
  return IsOfTheSystem(uid) || Known(uid).level == SlurmUser::Level::kAdministrator;
}

Rights RestRights::Of(uid_t uid) {
  SlurmUser known = Known(uid);
  return {.uid = uid,
          .all = known.level != SlurmUser::Level::kNone || IsOfTheSystem(uid),
          .accounts = std::move(known.coordinates)};
}

bool Rights::Cover(const Job& job) const {
  return all || uid == job.uid ||
         (!job.account.empty() && std::ranges::contains(accounts, job.account));
}

}  // namespace holdfast::coordinator
