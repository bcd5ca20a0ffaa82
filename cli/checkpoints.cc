#include "cli/checkpoints.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <set>
#include <thread>

#include "base/printable.h"
#include "base/process.h"
#include "base/unique_fd.h"
#include "storage/site.h"

namespace holdfast::cli {
namespace {

using nlohmann::json;

storage::JobName NameIn(const json& record) {
  return storage::NameOfJob(record.value("cluster", ""), record.at("job_id").get<uint32_t>(),
                            record.value("submitted", ""));
}

bool HasEnded(const json& record) { return record.at("state") == "ended"; }

// Enough to keep all that are wanted.
constexpr uint32_t kKeepWanted = 1'000'000;
// With a process of a user's, who can stop it.
constexpr std::chrono::seconds kUsersPatience{60};

// What the job that is on its nodes was restored from, and may still be reading.
std::set<uint32_t> InUse(const json& record) {
  const json& from = record.at("restored_from");
  if (HasEnded(record) || from.is_null() || from.at("job_id") != record.at("job_id")) return {};
  return {from.at("checkpoint").get<uint32_t>()};
}

std::vector<uint32_t> Numbers(const std::vector<storage::Manifest>& manifests) {
  std::vector<uint32_t> numbers;
  for (const storage::Manifest& manifest : manifests) numbers.push_back(manifest.checkpoint);
  return numbers;
}

json Unverified(uint32_t number, const Error& error) {
  const bool damaged = error.code() == Code::kCorrupt || error.code() == Code::kNotFound;
  return {
      {"number", number}, {"state", damaged ? "damaged" : "unread"}, {"error", error.message()}};
}

json Describe(const storage::Manifest& manifest) {
  json checkpoint{{"number", manifest.checkpoint},
                  {"state", "good"},
                  {"error", ""},
                  {"unix_ms", manifest.unix_ms},
                  {"pods", manifest.parts.size()}};
  uint64_t raw = 0, stored = 0;
  for (const storage::PartSummary& part : manifest.AllParts()) {
    raw += part.raw_bytes;
    stored += part.stored_bytes;
  }
  checkpoint["raw_bytes"] = raw;
  checkpoint["stored_bytes"] = stored;
  return checkpoint;
}

json Outcome(const json& job, const Result<uint64_t>& freed) {
  return {{"job_id", job.at("job_id")},
          {"directory", job.at("directory")},
          {"freed_bytes", freed.value_or(0)},
          {"error", freed ? "" : freed.error().message()}};
}

// What somebody has asked the coordinator to remove.
std::set<uint32_t> Unwanted(const json& record) {
  std::set<uint32_t> unwanted;
  for (const json& checkpoint : record.value("checkpoints", json::array()))
    if (checkpoint.is_object() && checkpoint.at("state") == "removing")
      unwanted.insert(checkpoint.at("number").get<uint32_t>());
  return unwanted;
}

}  // namespace

Result<json> Checkpoints::Prune(const Request& request) {
  HOLDFAST_TRY(const Place place, Find(request));
  uint32_t keep = config_.checkpoint.keep;
  if (place.record) keep = place.record->at("options").at("keep").get<uint32_t>();
  keep = request.keep.value_or(keep);
  const bool all = keep == 0;
  if (all && place.record && !HasEnded(*place.record))
    return Fail(Code::kConflict,
                fmt::format("the job is {}: while it has not ended, its newest checkpoint stays\n"
                            "  next: holdfast prune {} --keep=1",
                            place.record->at("state").get<std::string>(), place.job.id));
  HOLDFAST_TRY(const auto store, Open(place, !all));
  HOLDFAST_TRY(const storage::Pruned pruned,
               store->Prune(keep, place.record ? InUse(*place.record) : std::set<uint32_t>{},
                            place.record ? Unwanted(*place.record) : std::set<uint32_t>{}));
  HOLDFAST_CHECK(NoteRemoved(place, pruned, all));
  json kept = json::array();
  if (!all) {
    HOLDFAST_TRY(const auto listing, store->List());
    kept = Numbers(listing.good);
  }
  return json{{"job_id", place.job.id},
              {"directory", place.directory},
              {"removed", pruned.checkpoints},
              {"kept", kept},
              {"freed_bytes", pruned.bytes}};
}

Result<json> Checkpoints::PruneExpired() {
  if (uid_ != 0)
    return Fail(Code::kDenied,
                "--expired is for root, who removes each job's checkpoints as its user");
  HOLDFAST_TRY(const json expired, api_.Get("/v1/expired"));
  json jobs = json::array();
  for (const json& job : expired.at("jobs")) {
    const auto remove = [&]() -> Result<uint64_t> {
      Place place{.job = NameIn(job),
                  .directory = job.at("directory").get<std::string>(),
                  .owner = {},
                  .record = job};
      const auto uid = job.at("uid").get<uid_t>();
      const auto owner = IdentityOfUser(uid);
      // Of an account that is gone the files may still be there.
      place.owner = owner.value_or(Identity{.uid = uid, .gid = job.at("gid").get<gid_t>()});
      HOLDFAST_TRY(const auto store, Open(place, /*reads=*/false));
      HOLDFAST_TRY(const storage::Pruned pruned, store->Prune(0));
      HOLDFAST_CHECK(NoteRemoved(place, pruned, /*all=*/true));
      return pruned.bytes;
    };
    jobs.push_back(Outcome(job, remove()));
  }
  // A user who holds one up holds up only what is theirs.
  std::set<uid_t> slow;
  for (const json& job : expired.value("unwanted", json::array())) {
    const auto uid = job.at("uid").get<uid_t>();
    if (slow.contains(uid)) continue;
    jobs.push_back(Outcome(job, PruneAsUser(job)));
    if (jobs.back().at("error") != "") slow.insert(uid);
  }
  return json{{"jobs", jobs}};
}

// What must stay has to be read to know what may go, and root reads nothing of a user's that no
// site key vouches for, of which the controller has none: so a process of the user's own does it.
Result<uint64_t> Checkpoints::PruneAsUser(const json& job) {
  HOLDFAST_TRY(const Identity user, IdentityOfUser(job.at("uid").get<uid_t>()));
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC | O_NONBLOCK) != 0) return FailErrno("pipe2");
  const UniqueFd from(pipe[0]), to(pipe[1]);
  const UniqueFd nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  // It gets nothing of root's: neither the terminal nor what the environment may hold.
  std::vector<std::string> environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
  if (const char* path = std::getenv("HOLDFAST_CONFIG"))
    environment.push_back(std::string("HOLDFAST_CONFIG=") + path);
  HOLDFAST_TRY(Process process,
               Process::Spawn({.argv = {"/proc/self/exe", "prune", "--json",
                                        fmt::format("--keep={}", kKeepWanted),
                                        fmt::format("{}", job.at("job_id").get<uint32_t>())},
                               .env = environment,
                               .cwd = "/",
                               .fds = {{nothing.get(), 0}, {to.get(), 1}, {to.get(), 2}},
                               .identity = user,
                               .new_session = true}));
  HOLDFAST_TRY(const ExitStatus ended, process.Wait(kUsersPatience));
  // What fits into the pipe, and is there: its user can have meddled with it.
  std::string said(1 << 16, '\0');
  said.resize(
      static_cast<size_t>(std::max<ssize_t>(::read(from.get(), said.data(), said.size()), 0)));
  const json answer = json::parse(said, nullptr, false);
  const json freed = answer.is_object() ? answer.value("freed_bytes", json()) : json();
  if (!ended.ok() || !freed.is_number_unsigned())
    return Fail(Code::kInternal,
                fmt::format("`holdfast prune` as uid {}: {}: {}", user.uid, ended.ToString(),
                            Printable(said.substr(0, 500), Newlines::kEscape)));
  return freed.get<uint64_t>();
}

Result<json> Checkpoints::Verify(const Request& request) {
  HOLDFAST_TRY(const Place place, Find(request));
  HOLDFAST_TRY(const auto store, Open(place, /*reads=*/true));
  HOLDFAST_TRY(const storage::JobStore::Listing listing, store->List());
  HOLDFAST_TRY(const storage::Keys keys, LoadKeys());
  const auto wanted = [&](uint32_t number) {
    return !request.checkpoint || *request.checkpoint == number;
  };
  json checkpoints = json::array();
  for (const storage::Manifest& manifest : listing.good) {
    if (!wanted(manifest.checkpoint)) continue;
    const auto verified = store->Verify(manifest, std::thread::hardware_concurrency());
    json checkpoint = Describe(manifest);
    if (verified) {
      checkpoint["contents"] = verified->contents;
      checkpoint["read_bytes"] = verified->read_bytes;
    } else {
      checkpoint.update(Unverified(manifest.checkpoint, verified.error()));
    }
    checkpoints.push_back(std::move(checkpoint));
  }
  for (const auto& [number, error] : listing.bad)
    if (wanted(number)) checkpoints.push_back(Unverified(number, error));
  if (checkpoints.empty())
    return Fail(Code::kNotFound,
                request.checkpoint
                    ? fmt::format("there is no checkpoint {} in {}/{}", *request.checkpoint,
                                  place.directory, place.job.Directory())
                    : fmt::format("there is no checkpoint in {}/{}", place.directory,
                                  place.job.Directory()));
  return json{{"job_id", place.job.id},
              {"directory", place.directory},
              {"authenticated", keys.site.has_value()},
              {"checkpoints", checkpoints}};
}

Result<Checkpoints::Place> Checkpoints::Find(const Request& request) {
  Place place{
      .job = {.id = request.job}, .directory = request.directory, .owner = {}, .record = {}};
  // Also with --checkpoint-dir: whether the job has ended is not to be guessed.
  auto record = api_.Get(fmt::format("/v1/jobs/{}", request.job));
  if (!record && record.error().code() != Code::kNotFound)
    return std::unexpected(std::move(record).error());
  const bool is_meant =
      record && (request.submitted.empty() || request.submitted == NameIn(*record).submitted);
  if (!is_meant && request.directory.empty()) {
    if (!record)
      return Fail(Code::kNotFound,
                  record.error().message() +
                      "\n  next: if it ended long ago, name its directory with --checkpoint-dir");
    return Fail(Code::kInvalid,
                fmt::format("the coordinator knows {}: where that of {} was saved --checkpoint-dir "
                            "has to say",
                            NameIn(*record).Text(), request.submitted));
  }
  if (is_meant) place.record = std::move(*record);
  if (place.directory.empty())
    place.directory = place.record->at("options").at("directory").get<std::string>();
  HOLDFAST_TRY(place.owner, OwnerOf(request, place.record));
  if (place.record) {
    place.job = NameIn(*place.record);
  } else {
    HOLDFAST_TRY(place.job, FindForgotten(request, place));
  }
  return place;
}

Result<storage::JobName> Checkpoints::FindForgotten(const Request& request, const Place& place) {
  if (!request.submitted.empty() && !storage::IsSubmissionTime(request.submitted))
    return Fail(Code::kInvalid,
                fmt::format("--submitted={}: a time as in the name of the job's directory is "
                            "accepted: {}",
                            request.submitted, storage::SubmissionTime(0)));
  HOLDFAST_TRY(const json health, api_.Get("/v1/health"));
  HOLDFAST_TRY(auto jobs,
               storage::JobStore::JobsOf(place.directory, health.value("cluster", ""), request.job,
                                         place.owner, storage::CloudSettings(config_)));
  if (!request.submitted.empty())
    std::erase_if(jobs,
                  [&](const storage::JobName& job) { return job.submitted != request.submitted; });
  if (jobs.size() == 1) return jobs.front();
  if (jobs.empty())
    return Fail(Code::kNotFound,
                fmt::format("there is no checkpoint of job {}{} in {}", request.job,
                            request.submitted.empty() ? "" : ", submitted " + request.submitted,
                            place.directory));
  std::vector<std::string> names;
  for (const storage::JobName& job : jobs) names.push_back(job.Directory());
  return Fail(Code::kConflict,
              fmt::format("{} has several jobs {}: {}\n  next: say with --submitted which, by the "
                          "time in the directory's name",
                          place.directory, request.job, fmt::join(names, ", ")));
}

Result<Identity> Checkpoints::OwnerOf(const Request& request, const std::optional<json>& record) {
  if (uid_ != 0) {
    if (!request.user.empty())
      return Fail(Code::kInvalid, "--user is for root; everybody else works on their own jobs");
    if (record && record->at("uid") != uid_)
      return Fail(Code::kDenied, "only its user, or root, has rights over the job's files");
    return CurrentIdentity();
  }
  if (record) return IdentityOfUser(record->at("uid").get<uid_t>());
  // Not the directory's owner: that is whoever its user can make it be, by a link.
  const passwd* user = request.user.empty() ? nullptr : ::getpwnam(request.user.c_str());
  if (user == nullptr)
    return Fail(Code::kInvalid,
                request.user.empty()
                    ? "the coordinator has forgotten the job: say with --user whose it was"
                    : "there is no user " + request.user);
  return IdentityOfUser(user->pw_uid);
}

Result<storage::Keys> Checkpoints::LoadKeys() const {
  if (uid_ != 0) return storage::Keys::Unauthenticated();
  // The controller needs no keys.
  if (const auto site = storage::LoadSiteKey(config_.node.key_file);
      !site && site.error().code() == Code::kNotFound)
    return storage::Keys::Unauthenticated();
  return storage::LoadKeys(config_);
}

Result<std::unique_ptr<storage::JobStore>> Checkpoints::Open(const Place& place, bool reads) {
  HOLDFAST_TRY(const storage::Keys keys, LoadKeys());
  if (reads && uid_ == 0 && !keys.site)
    return Fail(Code::kDenied,
                fmt::format("root reads only what the site key vouches for, and there is no {} "
                            "here\n  next: run it on a compute node, or as the job's user",
                            config_.node.key_file));
  return storage::JobStore::Open(place.directory, place.job, place.owner, keys,
                                 storage::CloudSettings(config_));
}

Status Checkpoints::NoteRemoved(const Place& place, const storage::Pruned& pruned, bool all) {
  if (!place.record || (!all && pruned.checkpoints.empty())) return {};
  const json& record = *place.record;
  const std::string known = record.contains("options")
                                ? record.at("options").at("directory").get<std::string>()
                                : place.directory;
  if (known != place.directory) return {};  // another place than the one that it knows of
  const json body = all ? json{{"all", true}} : json{{"checkpoints", pruned.checkpoints}};
  HOLDFAST_CHECK(api_.Post(fmt::format("/v1/jobs/{}/removed", place.job.id), body));
  return {};
}

}  // namespace holdfast::cli
