#include "pod/steps/label.h"

#include <algorithm>

namespace holdfast::pod {

size_t LabelWidth(size_t tasks) { return std::to_string(std::max<size_t>(tasks, 1) - 1).size(); }

std::string Labelled(std::string_view text, uint32_t task, size_t width) {
  const std::string number = std::to_string(task);
  const std::string label =
      std::string(width - std::min(width, number.size()), ' ') + number + ": ";
  std::string labelled;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
    const std::string_view line = text.substr(0, end);
    labelled += label;
    labelled += line;
    if (line.back() != '\n') labelled += '\n';
    text.remove_prefix(end);
  }
  return labelled;
}

}  // namespace holdfast::pod
