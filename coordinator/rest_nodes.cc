#include "coordinator/rest_nodes.h"

#include <fmt/format.h>
#include <httplib.h>

#include <algorithm>
#include <map>

#include "coordinator/rest_body.h"

namespace holdfast::coordinator {
namespace {

using nlohmann::json;

constexpr size_t kMaxReasonBytes = 200;
constexpr int64_t kMillisecond = 1'000'000;

json ToJson(const Evacuation& notice) {
  return {{"reason", ReasonName(notice.cause)},
          {"detail", notice.reason},
          {"begun_unix_ns", notice.begun_ns},
          {"deadline_unix_ns", notice.deadline_unix_ms == 0
                                   ? json(nullptr)
                                   : json(notice.deadline_unix_ms * kMillisecond)}};
}

}  // namespace

Result<Reply> RestNodes::List(const httplib::Request& request, const Caller& caller) {
  HOLDFAST_CHECK(KnowParameters(request, {"limit", "cursor"}));
  HOLDFAST_TRY(const uint32_t limit, ReadLimit(request));
  HOLDFAST_TRY(const std::string after, ReadWord(request, "cursor"));
  HOLDFAST_TRY(std::vector<NodeRecord> nodes, nodes_.Get([this] { return slurm_.LoadNodes(); }));
  std::ranges::sort(nodes, {}, &NodeRecord::name);
  const auto first = std::ranges::upper_bound(nodes, after, {}, &NodeRecord::name);
  nodes.erase(nodes.begin(), first);
  const bool more = nodes.size() > limit;
  if (more) nodes.resize(limit);

  std::map<std::string, std::vector<uint32_t>> jobs_on;
  const Rights rights = rights_.Of(caller.uid);
  for (const Job& job : controller_.List(
           [&](const Job& each) { return IsActive(each.stage) && rights.Cover(each); }))
    for (const std::string& node : job.nodes())
      if (auto& there = jobs_on[node]; there.empty() || there.back() != job.id)
        there.push_back(job.id);
  const std::vector<Evacuation> evacuated = controller_.Evacuated();
  json shown = json::array();
  for (const NodeRecord& node : nodes) {
    const auto notice = std::ranges::find(evacuated, node.name, &Evacuation::node);
    shown.push_back({{"name", node.name},
                     {"draining", node.draining},
                     {"reason", node.reason},
                     {"features", node.features},
                     {"notice", notice == evacuated.end() ? json(nullptr) : ToJson(*notice)},
                     {"jobs", jobs_on[node.name]}});
  }
  return Reply{
      .body = {{"nodes", shown}, {"next", more ? json(nodes.back().name) : json(nullptr)}}};
}

Result<Reply> RestNodes::Evacuate(const httplib::Request& request, const Caller& caller) {
  const std::string node = request.matches[1];
  if (!rights_.IsAdministrator(caller.uid))
    return Fail(Code::kDenied,
                fmt::format("evacuating node {0} is for Slurm's administrators and the "
                            "coordinator's user; `holdfast migrate JOB --exclude {0}` moves a job "
                            "of yours",
                            node));
  HOLDFAST_TRY(const json body, ParseBody(request.body, {"reason"}));
  const json reason = body.value("reason", json("evacuated"));
  if (!reason.is_string() || reason.get_ref<const std::string&>().size() > kMaxReasonBytes)
    return Fail(Code::kInvalid,
                fmt::format("'reason' must be a text of at most {} bytes", kMaxReasonBytes));
  HOLDFAST_TRY(const std::vector<uint32_t> jobs,
               controller_.Evacuate({.node = node,
                                     .cause = Reason::kEvacuate,
                                     .reason = "holdfast: " + reason.get<std::string>()}));
  return Reply{.body = {{"node", node}, {"jobs", jobs}}, .status = 202, .location = "/v1/nodes"};
}

}  // namespace holdfast::coordinator
