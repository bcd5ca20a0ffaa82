// The table of every key of holdfast.yaml, and how each kind of value is written and read. Used by
// Load and Reference; other components include config.h only. Immutable, so thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "config/config.h"

namespace holdfast::config {

// How a value is written; "what is accepted" in messages and in the reference follows from it.
enum class Kind {
  kText,       // a word
  kPath,       // an absolute path
  kCommand,    // an absolute path, or a name looked up in PATH
  kDirectory,  // of checkpoints: as storage/urls/urls.h accepts it, with %h or %u in it
  kPort,
  kCount,
  kLevel,  // a number, or `auto`
  kSize,
  kDuration,
  kInterval,  // auto, or a duration
  kSubnet,
  kPaths,     // with commas, or kNoPaths
  kNetworks,  // with commas
  kOutsideNetwork,
  kUrl,       // http:// or https://
  kProvider,  // of a cloud
  kRestore,   // how memory comes back
  kWriteTracking,
  kFallback,  // of a job that was never saved
  kCancelledJobs,
  kSwitch,   // on or off
  kPattern,  // an extended regular expression
};

inline constexpr std::string_view kNoPaths = "none";

// The member of a Config that a key sets.
using Target = std::variant<std::string*, uint16_t*, uint32_t*, uint64_t*, int*,
                            std::chrono::seconds*, Interval*>;

struct Key {
  std::string_view section;
  std::string_view name;
  Kind kind;
  Target (*target)(Config&);
  // Inclusive bounds of the number, in bytes or seconds where it has a unit. Unused for texts.
  int64_t min = 0;
  int64_t max = 0;
  std::string_view doc;
  Applies applies = Applies::kToJobs;
};

std::span<const Key> Keys();

// Sets the key's member of `config` from the value as written in the file, or fails with kInvalid
// and a message that quotes the value and says what is accepted. A text whose default is empty may
// be given as empty.
Status SetValue(const Key& key, std::string_view text, Config& config);
// The member's value, written as in the file.
std::string ValueText(const Key& key, Config config);
// "a port, 1 to 65535": the kind with its bounds.
std::string Accepted(const Key& key);

}  // namespace holdfast::config
