// Text that others had a say in (names of processes and files, words of other programs), for a log,
// a terminal or a job's output: nothing in it can end a line, colour one or move a cursor.
#pragma once

#include <string>
#include <string_view>

namespace holdfast {

enum class Newlines { kKeep, kEscape };

// Control characters, C1 ones in UTF-8 among them, and what is not UTF-8 as \xNN (a newline as \n).
// Everything else as it is.
std::string Printable(std::string_view text, Newlines newlines);

}  // namespace holdfast
