#include "warden/isolation/oom_score.h"

#include "base/files.h"
#include "base/numbers.h"

namespace holdfast::warden {

Result<int> OomScoreAdjOf(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/oom_score_adj";
  HOLDFAST_TRY(const std::string text, ReadFile(path));
  const auto score = ParseNumber<int>(text.substr(0, text.find('\n')));
  if (!score) return Fail(Code::kInternal, path + ": not a number: " + text);
  return *score;
}

Status SetOomScoreAdj(int score) {
  return WriteFile("/proc/self/oom_score_adj", std::to_string(score));
}

}  // namespace holdfast::warden
