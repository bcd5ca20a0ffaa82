#include "warden/attributes/policies.h"

#include <fcntl.h>
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <sstream>

#include "base/files.h"
#include "base/numbers.h"

namespace holdfast::warden {
namespace {

// mm/mempolicy.c of Linux: policy_modes, and what it writes of flags.
struct Word {
  std::string_view word;
  uint32_t mode;
};
constexpr Word kModes[] = {
    {"default", MPOL_DEFAULT},       {"prefer (many)", MPOL_PREFERRED_MANY},
    {"prefer", MPOL_PREFERRED},      {"bind", MPOL_BIND},
    {"interleave", MPOL_INTERLEAVE}, {"weighted interleave", MPOL_WEIGHTED_INTERLEAVE},
    {"local", MPOL_LOCAL},
};
constexpr Word kFlags[] = {
    {"=static", MPOL_F_STATIC_NODES},
    {"=relative", MPOL_F_RELATIVE_NODES},
    {"=balancing", MPOL_F_NUMA_BALANCING},
    {"|balancing", MPOL_F_NUMA_BALANCING},
};
constexpr uint32_t kAllFlags = MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES | MPOL_F_NUMA_BALANCING;
constexpr size_t kMostNodes = 1024;  // x86: MAXNODES

bool HasNodes(uint32_t mode) {
  mode &= ~kAllFlags;
  return mode != MPOL_DEFAULT && mode != MPOL_LOCAL;
}

bool Skip(std::string_view& text, std::string_view word) {
  if (!text.starts_with(word)) return false;
  text.remove_prefix(word.size());
  return true;
}

std::string_view AfterAddress(std::string_view line) {
  const size_t space = line.find(' ');
  return space == std::string_view::npos ? "" : line.substr(space + 1);
}

// Of the first mapping, a program's text, which nobody gives a policy of its own: so the thread's.
// No more is read, for the kernel looks at all pages of what it tells of.
std::string FirstLine(const std::string& path) {
  const auto file = OpenFile(path, O_RDONLY);
  if (!file) return "";
  char line[128];
  const ssize_t size = ::read(file->get(), line, sizeof line);
  return size <= 0 ? "" : std::string(line, static_cast<size_t>(size));
}

// Where each mapping ends, by its start.
std::map<uint64_t, uint64_t> Ends(const std::string& process) {
  std::map<uint64_t, uint64_t> ends;
  std::istringstream maps(ReadFile("/proc/" + process + "/maps").value_or(""));
  for (std::string line; std::getline(maps, line);) {
    std::istringstream fields(line);
    uint64_t start = 0, end = 0;
    char dash = 0;
    if (fields >> std::hex >> start >> dash >> end) ends.emplace(start, end);
  }
  return ends;
}

}  // namespace

std::vector<uint32_t> ParseNodes(std::string_view list) {
  std::vector<uint32_t> nodes;
  while (!list.empty()) {
    const std::string_view part = list.substr(0, list.find(','));
    list.remove_prefix(std::min(list.size(), part.size() + 1));
    const auto first = ParseNumber<uint32_t>(part.substr(0, part.find('-')));
    const auto last = ParseNumber<uint32_t>(part.substr(part.find('-') + 1));
    if (!first || !last || *last >= kMostNodes) return {};
    for (uint32_t node = *first; node <= *last; ++node) nodes.push_back(node);
  }
  return nodes;
}

std::optional<attributes::Policy> ParsePolicy(std::string_view line,
                                              const std::vector<uint32_t>& allowed) {
  const auto* const known =
      std::ranges::find_if(kModes, [&](const Word& mode) { return Skip(line, mode.word); });
  if (known == std::end(kModes) || known->mode == MPOL_DEFAULT) return std::nullopt;
  attributes::Policy policy;
  policy.set_mode(known->mode);
  for (const Word& flag : kFlags)
    if (Skip(line, flag.word)) policy.set_mode(policy.mode() | flag.mode);
  if (!Skip(line, ":")) return policy;
  const std::vector<uint32_t> nodes = ParseNodes(line.substr(0, line.find_first_of(" \n")));
  for (size_t place = 0; place < allowed.size(); ++place)
    if (std::ranges::find(nodes, allowed[place]) != nodes.end())
      policy.add_places(static_cast<uint32_t>(place));
  if (static_cast<size_t>(policy.places_size()) == allowed.size()) policy.clear_places();
  return policy;
}

Policies::Policies() {
  std::istringstream status(ReadFile("/proc/thread-self/status").value_or(""));
  constexpr std::string_view kName = "Mems_allowed_list:\t";
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(kName)) allowed_ = ParseNodes(line.substr(kName.size()));
  const std::string line = FirstLine("/proc/thread-self/numa_maps");
  own_ =
      ParsePolicy(AfterAddress(line), allowed_).value_or(attributes::Policy()).SerializeAsString();
}

std::optional<attributes::Policy> Policies::Of(const std::string& process, pid_t thread) const {
  const std::string line =
      FirstLine("/proc/" + process + "/task/" + std::to_string(thread) + "/numa_maps");
  if (line.empty()) return std::nullopt;  // it has ended, or the kernel has no policies
  auto policy = ParsePolicy(AfterAddress(line), allowed_).value_or(attributes::Policy());
  if (policy.SerializeAsString() == own_) return std::nullopt;
  return policy;
}

void Policies::DescribeAreas(const std::string& process, uint32_t in_pod,
                             attributes::Attributes& all) const {
  std::istringstream lines(ReadFile("/proc/" + process + "/numa_maps").value_or(""));
  std::optional<std::string> of_thread;
  std::map<uint64_t, uint64_t> ends;
  for (std::string line; std::getline(lines, line);) {
    const auto policy = ParsePolicy(AfterAddress(line), allowed_);
    const std::string text = policy.value_or(attributes::Policy()).SerializeAsString();
    if (!of_thread) of_thread = text;
    if (!policy || text == *of_thread) continue;
    if (ends.empty()) ends = Ends(process);
    const uint64_t start = std::strtoull(line.c_str(), nullptr, 16);
    const auto end = ends.find(start);
    if (end == ends.end()) continue;
    attributes::Area& area = *all.add_areas();
    area.set_process(in_pod);
    area.set_start(start);
    area.set_end(end->second);
    *area.mutable_policy() = *policy;
  }
}

// As the `first` argument and the one after it.
bool Policies::SetNodes(const attributes::Policy& policy, LateCall& call, size_t first) const {
  if (!HasNodes(policy.mode())) return true;
  std::vector<uint32_t> nodes = allowed_;
  if (!policy.places().empty()) {
    nodes.clear();
    for (const uint32_t place : policy.places())
      if (place < allowed_.size()) nodes.push_back(allowed_[place]);
  }
  if (nodes.empty()) return false;
  for (const uint32_t node : nodes)
    call.data.at(node / 8) = static_cast<char>(call.data.at(node / 8) | 1 << node % 8);
  call.pointer = static_cast<int32_t>(first);
  call.size = kMostNodes / 8;
  call.arguments.at(first + 1) = kMostNodes + 1;  // the kernel takes one away
  return true;
}

std::optional<LateCall> Policies::Give(uint32_t thread, const attributes::Policy& policy) const {
  LateCall call{.thread = static_cast<int32_t>(thread),
                .number = SYS_set_mempolicy,
                .arguments = {policy.mode()}};
  if (!SetNodes(policy, call, 1)) return std::nullopt;
  return call;
}

std::optional<LateCall> Policies::Give(const attributes::Area& area) const {
  LateCall call{.thread = static_cast<int32_t>(area.process()),
                .number = SYS_mbind,
                .arguments = {area.start(), area.end() - area.start(), area.policy().mode()}};
  if (!SetNodes(area.policy(), call, 3)) return std::nullopt;
  return call;
}

}  // namespace holdfast::warden
