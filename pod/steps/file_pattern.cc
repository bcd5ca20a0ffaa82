#include "pod/steps/file_pattern.h"

#include <algorithm>
#include <cctype>

namespace holdfast::pod {
namespace {

std::string Padded(const std::string& number, size_t width) {
  return std::string(width - std::min(width, number.size()), '0') + number;
}

// Calls found(letter, width) for every pattern and plain(character) for everything else.
template <class Found, class Plain>
void Walk(std::string_view pattern, Found found, Plain plain) {
  constexpr size_t kMaxWidth = 10;
  const bool literal = pattern.find('\\') != std::string_view::npos;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (literal && pattern[i] == '\\') continue;
    if (literal || pattern[i] != '%') {
      plain(pattern[i]);
      continue;
    }
    size_t at = i + 1, width = 0;
    while (at < pattern.size() && std::isdigit(static_cast<unsigned char>(pattern[at])))
      width = std::min(kMaxWidth, width * 10 + static_cast<size_t>(pattern[at++] - '0'));
    if (at >= pattern.size()) {
      plain('%');
      continue;
    }
    found(pattern[at], width);
    i = at;
  }
}

}  // namespace

bool DiffersByTask(std::string_view pattern) {
  bool differs = false;
  Walk(
      pattern,
      [&](char letter, size_t) { differs |= letter == 't' || letter == 'n' || letter == 'N'; },
      [](char) {});
  return differs;
}

std::string ExpandPattern(std::string_view pattern, const PatternValues& values) {
  std::string name;
  const auto number = [&](uint32_t value, size_t width) {
    name += Padded(std::to_string(value), width);
  };
  Walk(
      pattern,
      [&](char letter, size_t width) {
        switch (letter) {
          case 'j':
            return number(values.job, width);
          case 'J':
            name += std::to_string(values.job) + "." + std::to_string(values.step);
            return;
          case 's':
            return number(values.step, width);
          case 't':
            return number(values.task, width);
          case 'n':
            return number(values.node, width);
          case 'N':
            name += values.host.substr(0, values.host.find('.'));
            return;
          case 'u':
            name += values.user;
            return;
          case 'x':
            name += values.job_name;
            return;
          case 'A':
            name += Padded(values.array_job, width);
            return;
          case 'a':
            name += Padded(values.array_task, width);
            return;
          case '%':
            name += '%';
            return;
          default:
            name += '%';
            name += letter;
        }
      },
      [&](char plain) { name += plain; });
  return name;
}

}  // namespace holdfast::pod
