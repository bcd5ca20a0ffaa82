// PMI-1 and PMI-2 as tasks speak them: "cmd=get kvsname=1 key=a\n", a line, and
// "    14cmd=kvs-fence;", behind its length in six characters. As in MPICH
// (src/pmi/maint/pmi-1.1.txt, pmi-2.0.txt), every request says by its first bytes which it is. What
// a task sends is bounded and believed nowhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace holdfast::pod {

// Longer than any request that fits the limits that tasks are told (pmi_server.cc).
inline constexpr size_t kMaxPmiRequest = 64 * 1024;

enum class PmiVersion : uint8_t { k1 = 1, k2 = 2 };

struct PmiRequest {
  PmiVersion version = PmiVersion::k1;
  std::string command;
  std::vector<std::pair<std::string, std::string>> fields;

  // The first of that name.
  std::optional<std::string_view> Field(std::string_view name) const;
};

// Takes the first whole request off `bytes`; nothing if there is none yet. kCorrupt for what cannot
// become one, after which nothing more can be understood.
Result<std::optional<PmiRequest>> TakePmiRequest(std::string& bytes);

// `fields`: "rc=0", "value=x".
std::string PmiReply(PmiVersion version, std::string_view command,
                     const std::vector<std::string>& fields);

}  // namespace holdfast::pod
