#include "coordinator/rest_public.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "base/files.h"
#include "coordinator/clock.h"
#include "protocol/munge.h"
#include "protocol/rest.h"

namespace holdfast::coordinator {
namespace {

std::string Describe(const JournalHealth& journal) {
  return fmt::format(
      "{}; for {} s, {} jobs; they go on, and what is new of them is lost if the "
      "coordinator ends now",
      journal.error, (NowNs() - journal.since_ns) / 1'000'000'000, journal.jobs);
}

// As Prometheus's own libraries name them.
void MeasureProcess(Metrics& metrics) {
  size_t pages = 0, resident = 0;
  std::istringstream(ReadFile("/proc/self/statm").value_or("")) >> pages >> resident;
  metrics.Set(Metric::kMemory,
              static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE)));
  const auto open = ListDirectory("/proc/self/fd");
  metrics.Set(Metric::kOpenFiles, open ? static_cast<double>(open->size()) : 0);
  rlimit limit = {};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  metrics.Set(Metric::kMaxFiles, static_cast<double>(limit.rlim_cur));
}

}  // namespace

RestPublic::RestPublic(Controller& controller, SlurmClient& slurm, Authenticator& authenticator,
                       Metrics& metrics)
    : controller_(controller), slurm_(slurm), authenticator_(authenticator), metrics_(metrics) {
  metrics.Set(Metric::kBuild, 1, {HOLDFAST_VERSION, fmt::format("{}", protocol::kProtocolVersion)});
  metrics.Set(Metric::kStartTime, static_cast<double>(NowNs()) / 1e9);
}

Result<Cluster> RestPublic::GetCluster() {
  return cluster_.Get([this] { return slurm_.LoadCluster(); });
}

std::string RestPublic::Health() {
  const Result<Cluster> cluster = GetCluster();
  const JournalHealth journal = controller_.journal_health();
  return protocol::ToText({{"status", cluster && journal.error.empty() ? "ok" : "degraded"},
                           {"version", HOLDFAST_VERSION},
                           {"protocol", protocol::kProtocolVersion},
                           {"cluster", cluster ? cluster->name : ""},
                           {"slurm", cluster ? "ok" : cluster.error().message()},
                           {"journal", journal.error.empty() ? "ok" : Describe(journal)}});
}

std::string RestPublic::Obstacles() {
  std::string obstacles;
  if (const Result<Cluster> cluster = GetCluster(); !cluster)
    obstacles += "slurm: " + cluster.error().message() + "\n";
  const Status munge = munge_.Get([this]() -> Status {
    HOLDFAST_TRY([[maybe_unused]] const std::string sealed, authenticator_.Seal("ready?"));
    return {};
  });
  if (!munge) obstacles += "munge: " + munge.error().message() + "\n";
  if (const JournalHealth journal = controller_.journal_health(); !journal.error.empty())
    obstacles += "journal: " + Describe(journal) + "\n";
  return obstacles;
}

Result<std::string> RestPublic::Figures(size_t requests_waiting) {
  if (!shows_figures_) return Fail(Code::kNotFound, "coordinator.metrics is off");
  return figures_.Get([&] {
    controller_.Measure();
    MeasureProcess(metrics_);
    metrics_.Set(Metric::kRequestsWaiting, static_cast<double>(requests_waiting));
    return metrics_.Text();
  });
}

}  // namespace holdfast::coordinator
