// `holdfast prune` and `holdfast verify`: what people do with a job's checkpoints themselves. The
// coordinator says where they lie and what must stay, but has no rights over users' files: reading
// and removing is done here, by the job's user, or by root with that user's identity. One thread,
// but for reading.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/identity.h"
#include "base/result.h"
#include "cli/client.h"
#include "config/config.h"
#include "storage/checkpoint.h"

namespace holdfast::cli {

class Checkpoints {
 public:
  struct Request {
    uint32_t job = 0;
    std::optional<uint32_t> checkpoint;  // to verify; all otherwise
    std::optional<uint32_t> keep;        // to prune; as the job wants it otherwise
    std::string directory;               // for a job that the coordinator has forgotten
    std::string submitted;               // which, if several jobs have had that id
    std::string user;                    // whose job that was, if root asks
  };
  // Both must outlive it. `uid` is the caller's.
  Checkpoints(const config::Config& config, Api& api, uid_t uid)
      : config_(config), api_(api), uid_(uid) {}

  // {"job_id", "directory", "removed": [numbers], "kept": [numbers], "freed_bytes"}
  Result<nlohmann::json> Prune(const Request& request);
  // {"jobs": [{"job_id", "directory", "freed_bytes", "error"}]}: of all jobs whose time is over.
  // Failures with one do not keep it from the others.
  Result<nlohmann::json> PruneExpired();
  // {"job_id", "directory", "authenticated", "checkpoints": [{"number", "state", "contents",
  // "read_bytes", "pods", "raw_bytes", "stored_bytes", "unix_ms", "error"}]}. `state` is "good",
  // "damaged" or, if something else kept it from being read, "unread". kNotFound if there is none.
  Result<nlohmann::json> Verify(const Request& request);

 private:
  struct Place {
    storage::JobName job;
    std::string directory;
    Identity owner;
    std::optional<nlohmann::json> record;  // the coordinator's, unless it has forgotten the job
  };
  // Returns the bytes that this freed.
  Result<uint64_t> PruneAsUser(const nlohmann::json& job);
  Result<Place> Find(const Request& request);
  // Of a job that the coordinator does not know, or not any more.
  Result<storage::JobName> FindForgotten(const Request& request, const Place& place);
  Result<Identity> OwnerOf(const Request& request, const std::optional<nlohmann::json>& record);
  // `reads`: what users can have written will be parsed, which root does not do unauthenticated.
  Result<std::unique_ptr<storage::JobStore>> Open(const Place& place, bool reads);
  Result<storage::Keys> LoadKeys() const;
  Status NoteRemoved(const Place& place, const storage::Pruned& pruned, bool all);

  const config::Config& config_;
  Api& api_;
  const uid_t uid_;
};

}  // namespace holdfast::cli
