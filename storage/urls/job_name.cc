#include "storage/urls/job_name.h"

#include <algorithm>

#include "base/numbers.h"

namespace holdfast::storage {
namespace {

constexpr std::string_view kForm = "00000000T000000Z";

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// One spelling only, as everywhere in names of objects.
std::optional<uint32_t> ParseId(std::string_view text) {
  const auto id = ParseNumber<uint32_t>(text);
  return id && std::to_string(*id) == text ? id : std::nullopt;
}

}  // namespace

std::string JobName::Directory() const {
  return submitted.empty() ? std::to_string(id) : JobDirectoryPrefix(cluster, id) + submitted;
}

std::string JobName::Text() const {
  std::string text = "job " + std::to_string(id);
  if (!cluster.empty()) text += " of cluster " + cluster;
  if (!submitted.empty()) text += ", submitted " + submitted;
  return text;
}

JobName NameOfJob(std::string_view cluster, uint32_t id, std::string_view submitted) {
  if (submitted.empty()) return {.id = id};
  return {.cluster = std::string(cluster), .id = id, .submitted = std::string(submitted)};
}

std::string JobDirectoryPrefix(std::string_view cluster, uint32_t id) {
  return std::string(cluster) + "-" + std::to_string(id) + "-";
}

std::optional<JobName> ParseJobDirectory(std::string_view directory) {
  if (const auto id = ParseId(directory)) return JobName{.id = *id};
  // From the end: a cluster's name may have dashes.
  const size_t time = directory.rfind('-');
  if (time == directory.npos || time == 0) return std::nullopt;
  const size_t number = directory.rfind('-', time - 1);
  if (number == directory.npos) return std::nullopt;
  const auto id = ParseId(directory.substr(number + 1, time - number - 1));
  const std::string_view cluster = directory.substr(0, number);
  const std::string_view submitted = directory.substr(time + 1);
  if (!id || !CheckCluster(cluster) || !IsSubmissionTime(submitted)) return std::nullopt;
  return JobName{.cluster = std::string(cluster), .id = *id, .submitted = std::string(submitted)};
}

std::string SubmissionTime(std::time_t time) {
  std::tm utc{};
  char text[kForm.size() + 1];
  if (::gmtime_r(&time, &utc) == nullptr ||
      std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &utc) != kForm.size())
    return std::string(kForm);
  return text;
}

bool IsSubmissionTime(std::string_view text) {
  return std::ranges::equal(text, kForm, [](char given, char form) {
    return IsDigit(form) ? IsDigit(given) : given == form;
  });
}

Status CheckCluster(std::string_view cluster) {
  const bool plain = !cluster.empty() && cluster != "." && cluster != ".." &&
                     std::ranges::all_of(cluster, [](char c) {
                       return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              c == '.' || c == '-' || c == '_';
                     });
  if (plain) return {};
  return Fail(Code::kUnsupported,
              "ClusterName '" + std::string(cluster) +
                  "': checkpoints are named by it, so it must be of letters, digits, '.', '-' and "
                  "'_'");
}

}  // namespace holdfast::storage
