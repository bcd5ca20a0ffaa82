#include "pod/steps/option_setters.h"

#include <algorithm>
#include <cctype>

#include "base/numbers.h"
#include "pod/steps/values.h"

namespace holdfast::pod {
namespace {

std::unexpected<Complaint> Complain(int code, std::string line) {
  return std::unexpected(Complaint{.exit_code = code, .lines = {std::move(line)}});
}
std::unexpected<Complaint> Invalid(const char* option) {
  return Complain(255, "error: Invalid --" + std::string(option) + " specification");
}

}  // namespace

std::expected<uint32_t, Complaint> Count(const char* option, const std::string& value,
                                         uint32_t least) {
  const auto number = ParseNumber<uint32_t>(value);
  if (number && *number >= least && *number <= kMaxTasks) return *number;
  return Complain(1, "error: Invalid numeric value \"" + value + "\" for --" + option + ".");
}

Applied SetNodes(Options& o, const std::string& value) {
  const size_t dash = value.find('-');
  const auto low = ParseCount(value.substr(0, dash));
  const auto high = dash == std::string::npos ? low : ParseCount(value.substr(dash + 1));
  if (!low || !high || *low == 0)
    return Complain(255, "error: \"" + value + "\" is not a valid node count");
  o.min_nodes.value = *low;
  o.max_nodes.value = *high;
  return {};
}

Applied SetDistribution(Options& o, const std::string& value) {
  const std::string lower = Lower(value);
  const std::string nodes = lower.substr(0, lower.find_first_of(":,"));
  if (nodes.starts_with("plane")) {
    o.distribution = Distribution::kPlane;
    if (const auto size = ParseCount(nodes.size() > 6 ? nodes.substr(6) : "")) o.plane_size = *size;
    return {};
  }
  if (nodes == "block")
    o.distribution = Distribution::kBlock;
  else if (nodes == "cyclic")
    o.distribution = Distribution::kCyclic;
  else if (nodes == "arbitrary")
    o.distribution = Distribution::kArbitrary;
  else if (nodes == "*" || nodes == "pack" || nodes == "nopack")
    o.distribution = Distribution::kUnset;
  else
    return Invalid("distribution");
  return {};
}

Applied SetNodeMemory(Options& o, const std::string& value) {
  const auto size = ParseMegabytes(value);
  if (!size) return Invalid("mem");
  o.node_memory_mb = {*size};
  o.cpu_memory_mb = {};
  return {};
}
Applied SetCpuMemory(Options& o, const std::string& value) {
  const auto size = ParseMegabytes(value);
  if (!size) return Invalid("mem-per-cpu");
  o.cpu_memory_mb = {*size};
  o.node_memory_mb = {};
  return {};
}

Applied SetBinding(Options& o, const std::string& value) {
  for (std::string_view rest = value; !rest.empty();) {
    const std::string word = Lower(rest.substr(0, rest.find_first_of(",;")));
    const auto starts = [&](const char* with) { return word.starts_with(with); };
    if (starts("map_cpu:") || starts("mask_cpu:")) {
      o.bind = starts("map") ? BindUnit::kMap : BindUnit::kMask;
      o.bind_list = std::string(rest.substr(rest.find(':') + 1));
      return {};
    }
    rest.remove_prefix(std::min(word.size() + 1, rest.size()));
    if (word == "q" || word == "quiet") {
      o.bind_verbose = false;
    } else if (word == "v" || word == "verbose") {
      o.bind_verbose = true;
    } else if (word == "no" || word == "none") {
      o.bind = BindUnit::kNone;
    } else if (word == "threads" || word == "thread") {
      o.bind = BindUnit::kThreads;
    } else if (word == "cores" || word == "core") {
      o.bind = BindUnit::kCores;
    } else if (word == "sockets" || word == "socket" || starts("ldom") || starts("rank_ldom") ||
               starts("map_ldom") || starts("mask_ldom")) {
      o.bind = BindUnit::kSockets;
      if (starts("map_ldom") || starts("mask_ldom")) return {};
    } else if (word == "rank" || word.empty() || word == "one_thread") {
      continue;
    } else {
      return std::unexpected(
          Complaint{.exit_code = 1,
                    .lines = {"error: unrecognized --cpu-bind argument \"" + value + "\"",
                              "fatal: Failed to parse --cpu-bind= values."}});
    }
  }
  return {};
}

Applied SetHint(Options& o, const std::string& value) {
  for (const std::string& hint : SplitAt(Lower(value), ',')) {
    if (hint == "compute_bound" || hint == "nomultithread") {
      o.threads_per_core = 1;
      if (hint == "compute_bound" && o.bind == BindUnit::kAuto) o.bind = BindUnit::kCores;
      if (hint == "nomultithread" && o.bind == BindUnit::kAuto) o.bind = BindUnit::kThreads;
    } else if (hint == "memory_bound") {
      if (o.bind == BindUnit::kAuto) o.bind = BindUnit::kCores;
    } else if (hint != "multithread" && hint != "ignore") {
      return Complain(1, "error: unrecognized --hint argument \"" + value + "\", see --hint=help");
    }
  }
  return {};
}

Applied SetTime(Options& o, const std::string& value) {
  const auto seconds = ParseLimitSeconds(value);
  if (!seconds) return Invalid("time");
  if (*seconds > 0)
    o.limit_seconds = *seconds;
  else
    o.limit_seconds.reset();
  return {};
}

Applied SetSignal(Options& o, const std::string& value) {
  std::string text = value;
  if (const size_t colon = text.find(':'); colon != std::string::npos) text.erase(0, colon + 1);
  const size_t at = text.find('@');
  const auto signal = ParseSignal(text.substr(0, at));
  const auto seconds = at == std::string::npos ? 60U : ParseCount(text.substr(at + 1));
  if (!signal || !seconds) return Invalid("signal");
  o.signal = *signal;
  o.signal_seconds = *seconds;
  return {};
}

Applied SetOpenMode(Options& o, const std::string& value) {
  const char first = static_cast<char>(std::tolower(static_cast<unsigned char>(value[0])));
  if (value.empty() || (first != 'a' && first != 't')) return Invalid("open-mode");
  o.append = first == 'a';
  return {};
}

Applied SetKillOnBadExit(Options& o, const std::string& value) {
  if (value.empty()) {
    o.kill_on_bad_exit = true;
    return {};
  }
  return Count("kill-on-bad-exit", value, 0).transform([&](uint32_t n) {
    o.kill_on_bad_exit = n != 0;
  });
}

Applied SetImmediate(Options& o, const std::string& value) {
  if (value.empty()) {
    o.immediate_seconds = 1;
    return {};
  }
  return Count("immediate", value, 0).transform([&](uint32_t n) { o.immediate_seconds = n; });
}

Applied SetHostFile(Options& o, const std::string& value) {
  const auto hosts = ReadHostFile(value);
  if (!hosts) return Complain(255, "error: Invalid --nodefile specification");
  o.hosts = *hosts;
  return {};
}

Applied SetHostFileVariable(Options& o, const std::string& value) {
  const Applied applied = SetHostFile(o, value);
  if (applied) {
    o.distribution = Distribution::kArbitrary;
    o.hosts_by_file = true;
  }
  return applied;
}

Applied SetGres(Options&, const std::string& value) {
  if (Lower(value) == "none" || value.empty()) return {};
  return Complain(1, "error: Invalid generic resource (gres) specification");
}

Applied SetTasksResources(Options& o, const std::string& value) {
  for (const std::string& item : SplitAt(value, ',')) {
    if (!item.starts_with("cpu=") && !item.starts_with("cpu:"))
      return Complain(1, "error: Invalid generic resource (gres) specification");
    if (const auto cpus = ParseCount(item.substr(4))) o.cpus_per_task.value = *cpus;
  }
  return {};
}

Applied SetMpi(Options& o, const std::string& value) {
  o.mpi = value;
  return {};
}

Applied SetVerbosity(Options& o, const std::string& value) {
  o.verbosity += static_cast<int>(ParseCount(value).value_or(1));
  return {};
}

Applied SetBroadcast(Options& o, const std::string& value) {
  o.broadcasts = true;
  o.broadcast = value;
  return {};
}

Applied SetExclusive(Options& o, const std::string&) {
  o.exact = true;
  return {};
}

Applied SetPropagate(Options& o, const std::string& value) {
  o.propagate = value.empty() ? "ALL" : value;
  if (const auto bad = BadLimitName(o.propagate))
    return std::unexpected(Complaint{.exit_code = 1,
                                     .lines = {"error: Bad rlimit name: " + *bad,
                                               "error: --propagate=" + value + " is not valid."}});
  return {};
}

Applied Refuse(Options&, const std::string&) { return {}; }

}  // namespace holdfast::pod
