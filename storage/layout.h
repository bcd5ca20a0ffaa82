// Names of a job's objects, the same in every back end (docs/formats/storage.md):
//
//   manifest-000017.h5        commits checkpoint 17
//   parts/000017-3.h5         pod 3's share of it
//   packs/000017-3-1.pack     data that pod 3 wrote for it, second file
//
// An object that its writer did not finish has ".tmp-" and a random suffix after its name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace holdfast::storage {

std::string ManifestKey(uint32_t checkpoint);
std::string PartKey(uint32_t checkpoint, uint32_t pod);
std::string PackKey(uint32_t checkpoint, uint32_t pod, uint32_t sequence);

struct ObjectName {
  enum class Kind { kManifest, kPart, kPack };
  Kind kind;
  uint32_t checkpoint = 0;
  uint32_t pod = 0;       // of a part or pack
  uint32_t sequence = 0;  // of a pack
  bool unfinished = false;
};
// Nothing for a name that is not exactly one of ours.
std::optional<ObjectName> ParseKey(std::string_view key);

inline constexpr std::string_view kUnfinishedMark = ".tmp-";

}  // namespace holdfast::storage
