// --label: the task's number in front of each line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace holdfast::pod {

// Digits of the highest task's number.
size_t LabelWidth(size_t tasks);
// Every piece of output begins with a label and ends with a newline, even where it ends within a
// line: as Slurm does it.
std::string Labelled(std::string_view text, uint32_t task, size_t width);

}  // namespace holdfast::pod
