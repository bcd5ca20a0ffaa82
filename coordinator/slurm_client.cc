#include "coordinator/slurm_client.h"

#include <algorithm>

#include "base/printable.h"

namespace holdfast::coordinator {
namespace {

constexpr std::string_view kOurs = "holdfast: ";
constexpr std::string_view kSeparator = "; ";
// Slurm stores more, but squeue and sacct print comments on one line.
constexpr size_t kMaxTextBytes = 1000;

}  // namespace

std::string MergeComment(const std::string& present, const std::string& text) {
  std::string merged = present.substr(0, present.find(kOurs));
  if (merged.ends_with(kSeparator)) merged.resize(merged.size() - kSeparator.size());
  if (text.empty()) return merged;
  if (!merged.empty()) merged += kSeparator;
  merged += kOurs;
  std::string line = text.substr(0, kMaxTextBytes);
  std::ranges::replace_if(line, [](unsigned char c) { return c < ' '; }, ' ');
  return merged + Printable(line, Newlines::kEscape);
}

}  // namespace holdfast::coordinator
