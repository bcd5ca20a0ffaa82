// Did-you-mean, for keys of the configuration and for commands. Pure.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace holdfast::config {

// The fewest insertions, deletions and replacements of one character, and swaps of two neighbours,
// that turn a into b.
size_t EditDistance(std::string_view a, std::string_view b);

// The word nearest to `word`, if one is near enough to be a slip of it.
std::optional<std::string> ClosestWord(std::string_view word, const std::set<std::string>& words);

}  // namespace holdfast::config
