#include "storage/layout.h"

#include <fmt/format.h>

#include <charconv>

namespace holdfast::storage {
namespace {

// Takes a decimal number off the front of `text`.
std::optional<uint32_t> TakeNumber(std::string_view& text) {
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return number;
}

bool Take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

}  // namespace

std::string ManifestKey(uint32_t checkpoint) {
  return fmt::format("manifest-{:06}.h5", checkpoint);
}

std::string PartKey(uint32_t checkpoint, uint32_t pod) {
  return fmt::format("parts/{:06}-{}.h5", checkpoint, pod);
}

std::string PackKey(uint32_t checkpoint, uint32_t pod, uint32_t sequence) {
  return fmt::format("packs/{:06}-{}-{}.pack", checkpoint, pod, sequence);
}

std::optional<ObjectName> ParseKey(std::string_view key) {
  ObjectName name{};
  std::string_view finished = key;
  if (const size_t mark = key.find(kUnfinishedMark); mark != key.npos) {
    finished = key.substr(0, mark);
    name.unfinished = true;
  }
  std::string_view rest = finished;
  std::optional<uint32_t> checkpoint, pod, sequence;
  std::string expected;
  if (Take(rest, "manifest-") && (checkpoint = TakeNumber(rest))) {
    name.kind = ObjectName::Kind::kManifest;
    expected = ManifestKey(*checkpoint);
  } else if (Take(rest, "parts/") && (checkpoint = TakeNumber(rest)) && Take(rest, "-") &&
             (pod = TakeNumber(rest))) {
    name.kind = ObjectName::Kind::kPart;
    expected = PartKey(*checkpoint, *pod);
  } else if (Take(rest, "packs/") && (checkpoint = TakeNumber(rest)) && Take(rest, "-") &&
             (pod = TakeNumber(rest)) && Take(rest, "-") && (sequence = TakeNumber(rest))) {
    name.kind = ObjectName::Kind::kPack;
    expected = PackKey(*checkpoint, *pod, *sequence);
  } else {
    return std::nullopt;
  }
  // Only the one spelling that we write: two names must never mean the same object.
  if (finished != expected) return std::nullopt;
  name.checkpoint = *checkpoint;
  name.pod = pod.value_or(0);
  name.sequence = sequence.value_or(0);
  return name;
}

}  // namespace holdfast::storage
