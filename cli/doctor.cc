#include "cli/doctor.h"

#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string_view>

#include "base/duration.h"
#include "base/files.h"
#include "base/unique_fd.h"
#include "cli/client.h"
#include "cli/doctor_probes.h"
#include "cli/doctor_rules.h"
#include "protocol/munge.h"
#include "storage/sealed_part.h"

namespace holdfast::cli {
namespace {

constexpr int kConnectTimeoutMs = 3000;
constexpr std::chrono::seconds kAnswerTimeout{10};

const char* Name(Fitness fitness) {
  switch (fitness) {
    case Fitness::kOk:
      return "ok";
    case Fitness::kFailed:
      return "failed";
    case Fitness::kNotChecked:
      return "not checked";
  }
  std::unreachable();
}

Check ExamineMunge() {
  const auto credential = protocol::Seal("holdfast doctor");
  const Status verified = credential ? protocol::Verify(*credential, ::geteuid(), "holdfast doctor")
                                     : Status(std::unexpected(credential.error()));
  if (verified) return Ok("munge", "a credential made here is accepted here");
  return Failed("munge", verified.error().message(),
                "start munged (systemctl start munge), with the cluster's munge.key");
}

Check ExamineSiteKey(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) {
    const int error = errno;
    if (error == EACCES && !IsRoot()) return NotChecked("site key", "needs root");
    return Failed("site key", Error::FromErrno(path, error).message(),
                  "copy it from another node, or make one as docs/operations/install.md says");
  }
  std::optional<std::string> contents;
  if (auto text = ReadFile(path); text) contents = *std::move(text);
  return JudgeSiteKey(path, info.st_uid, info.st_mode & 07777, contents);
}

Check ExamineEncryptionKeys(const std::string& path) {
  const std::string name = "encryption key";
  if (!IsRoot()) return NotChecked(name, "needs root");
  const auto keys = storage::LoadEncryptionKeys(path);
  if (!keys)
    return Failed(name, keys.error().message(),
                  "copy it from another node, or make one as docs/operations/install.md says");
  return Ok(name, fmt::format("{}: new checkpoints are sealed with {}, of {} that are known", path,
                              storage::NameOf(keys->keys.front()), keys->keys.size()));
}

// The nearest directory at or above `path` that exists: the one whose rights decide.
std::string NearestDirectory(std::string path) {
  while (path.size() > 1 && !FileExists(path)) path.erase(std::max<size_t>(path.rfind('/'), 1));
  return path;
}

Check ExamineCheckpointDirectory(const std::string& setting) {
  const std::string name = "checkpoint directory";
  if (IsRoot()) return NotChecked(name, "run holdfast doctor as an ordinary user");
  const auto expanded = config::ExpandDirectory(setting, ::geteuid());
  if (!expanded) return Failed(name, expanded.error().message(), "correct checkpoint.directory");
  const bool is_file_url = expanded->starts_with("file://");
  if (!is_file_url && !expanded->starts_with('/'))
    return NotChecked(name, fmt::format("{} is no directory of this machine", *expanded));
  const std::string path = is_file_url ? expanded->substr(7) : *expanded;
  const std::string existing = NearestDirectory(path);
  if (::access(existing.c_str(), W_OK | X_OK) != 0)
    return Failed(name, Error::Errno(fmt::format("{}: writing to {}", path, existing)).message(),
                  "make a directory there that this user may write to, or choose another "
                  "checkpoint.directory, or --checkpoint-dir");
  struct statvfs space{};
  if (::statvfs(existing.c_str(), &space) != 0)
    return Failed(name, Error::Errno(existing).message(), "look at the filesystem's server");
  return Ok(name,
            fmt::format("{}: {} free", path, FormatBytes(1ULL * space.f_bavail * space.f_frsize)));
}

Check ExaminePrivateDirectories(const std::string& directories, const std::string& place) {
  const std::string name = "private directories";
  const auto paths = config::ListOf(directories);
  if (paths.empty()) return Ok(name, "none");
  for (const std::string& path : paths) {
    struct stat info{};
    if (::stat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode))
      return Failed(name, path + " is no directory on this node",
                    "make it, or take it out of node.private_directories");
  }
  struct statvfs space{};
  if (::statvfs(NearestDirectory(place).c_str(), &space) != 0)
    return Failed(name, Error::Errno(place).message(),
                  "look at the disk, or at node.private_place");
  return Ok(name, fmt::format("{} in {}: {} free", directories, place,
                              FormatBytes(1ULL * space.f_bavail * space.f_frsize)));
}

Status TryConnect(const std::string& host, uint16_t port) {
  const addrinfo hints{.ai_flags = AI_ADDRCONFIG, .ai_socktype = SOCK_STREAM};
  addrinfo* found = nullptr;
  const std::string service = fmt::format("{}", port);
  if (const int error = ::getaddrinfo(host.c_str(), service.c_str(), &hints, &found); error != 0)
    return Fail(Code::kUnavailable, fmt::format("looking up {}: {}", host, ::gai_strerror(error)));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> addresses(found, ::freeaddrinfo);
  int error = 0;
  for (const addrinfo* at = addresses.get(); at != nullptr; at = at->ai_next) {
    const UniqueFd fd(
        ::socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, at->ai_protocol));
    if (!fd.valid()) continue;
    if (::connect(fd.get(), at->ai_addr, at->ai_addrlen) == 0) return {};
    error = errno;
    if (error != EINPROGRESS) continue;
    pollfd waiting{.fd = fd.get(), .events = POLLOUT, .revents = 0};
    error = ETIMEDOUT;
    if (::poll(&waiting, 1, kConnectTimeoutMs) != 1) continue;
    socklen_t length = sizeof error;
    ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &length);
    if (error == 0) return {};
  }
  return std::unexpected(
      Error::FromErrno(fmt::format("connecting to {} port {}", host, port), error));
}

std::vector<Check> ExamineCoordinator(const config::Config& config) {
  const std::string& host = config.coordinator.host;
  const uint16_t warden_port = config.coordinator.warden_port;
  const std::string remedy = fmt::format(
      "start holdfast-coordinator on {}, open its ports, or correct coordinator.host", host);
  std::vector<Check> checks;
  Client client(host, config.coordinator.rest_port, kAnswerTimeout,
                Client::OfUser(config.coordinator.user));
  if (const auto health = client.Get("/v1/health"); !health) {
    checks.push_back(Failed("coordinator", health.error().message(), remedy));
  } else {
    checks.push_back(JudgeHealth(*health));
    if (const auto jobs = AllJobs(client); jobs) {
      checks.push_back(Ok("coordinator knows me", "requests are accepted"));
      checks.push_back(JudgeTimes({{"jobs", *jobs}}));
    } else {
      checks.push_back(
          Failed("coordinator knows me", jobs.error().message(),
                 "munge.key must be the same on both machines, and their clocks agree"));
    }
  }
  if (const auto connected = TryConnect(host, warden_port); connected)
    checks.push_back(Ok("coordinator for wardens", fmt::format("{} port {}", host, warden_port)));
  else
    checks.push_back(Failed("coordinator for wardens", connected.error().message(), remedy));
  return checks;
}

Check JudgeConfig(const std::string& path, const Result<config::Config>& config) {
  if (config) return Ok("configuration", path);
  return Failed("configuration", config.error().message(),
                "correct the file; docs/operations/configuration.md has all keys");
}

// Null: they do, or Slurm does not say.
const char* WhyNoJobsRunHere() {
  if (!Output({"slurmd", "-V"})) return "no slurmd here";
  const auto known = Output({"sinfo", "--noheader", "--format=%n"});
  std::array<char, HOST_NAME_MAX + 1> buffer{};
  if (!known || ::gethostname(buffer.data(), buffer.size() - 1) != 0) return nullptr;
  const auto name = [](std::string_view host) { return host.substr(0, host.find('.')); };
  std::istringstream hosts(*known);
  for (std::string host; hosts >> host;)
    if (name(host) == name(buffer.data())) return nullptr;
  return "none of the nodes that sinfo lists";
}

}  // namespace

std::vector<Check> Examine(const std::string& config_path, const Result<config::Config>& config) {
  std::vector<Check> checks{JudgeConfig(config_path, config)};
  const auto add = [&checks](std::vector<Check> more) {
    std::ranges::move(more, std::back_inserter(checks));
  };
  const config::Config settings = config.value_or(config::Config{});
  checks.push_back(ExamineMunge());
  add(ExamineCoordinator(settings));
  checks.push_back(ExamineCheckpointDirectory(settings.checkpoint.directory));
  add(ExamineSlurm());
  if (const char* why = WhyNoJobsRunHere()) {
    checks.push_back(
        NotChecked("compute node", fmt::format("{}: jobs do not run on this machine", why)));
    return checks;
  }
  checks.push_back(ExamineSiteKey(settings.node.key_file));
  if (const std::string& path = settings.checkpoint.encryption_key_file; !path.empty())
    checks.push_back(ExamineEncryptionKeys(path));
  checks.push_back(
      ExaminePrivateDirectories(settings.node.private_directories, settings.node.private_place));
  add(ExamineKernel());
  add(ExamineCriu(settings.node.criu));
  add(ExamineJobNetwork(settings.node.vxlan_port));
  if (settings.node.outside_network != "none") checks.push_back(ExamineOutside());
  return checks;
}

bool AllFit(const std::vector<Check>& checks) {
  return std::ranges::none_of(checks,
                              [](const Check& check) { return check.fitness == Fitness::kFailed; });
}

std::string ToText(const std::vector<Check>& checks) {
  size_t width = 0;
  for (const Check& check : checks) width = std::max(width, check.name.size());
  std::string text;
  for (const Check& check : checks) {
    text +=
        fmt::format("{:<11}  {:<{}}  {}\n", Name(check.fitness), check.name, width, check.detail);
    if (!check.remedy.empty())
      text += fmt::format("{:<11}  {:<{}}  -> {}\n", "", "", width, check.remedy);
  }
  return text;
}

nlohmann::json ToJson(const std::vector<Check>& checks) {
  nlohmann::json list = nlohmann::json::array();
  for (const Check& check : checks) {
    nlohmann::json entry{
        {"name", check.name}, {"result", Name(check.fitness)}, {"detail", check.detail}};
    if (!check.remedy.empty()) entry["remedy"] = check.remedy;
    list.push_back(std::move(entry));
  }
  return {{"fit", AllFit(checks)}, {"checks", std::move(list)}};
}

}  // namespace holdfast::cli
