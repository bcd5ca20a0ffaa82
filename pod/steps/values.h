// How Slurm writes numbers, sizes, times and names in options.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::pod {

std::string Lower(std::string_view text);
std::vector<std::string> SplitAt(std::string_view text, char separator);

// Digits, perhaps with a k behind them.
std::optional<uint32_t> ParseCount(std::string_view text);
// "100M", "2G", "512" (MiB).
std::optional<uint64_t> ParseMegabytes(std::string_view text);
// "90", "90:30", "1:30:00", "2-12", "2-12:30", "2-12:30:00"; "infinite" is 0.
std::optional<uint32_t> ParseLimitSeconds(std::string_view text);
// "USR1", "SIGUSR1", "10".
std::optional<int> ParseSignal(std::string_view text);
// A file of hosts, one or several a line, as one list.
std::optional<std::string> ReadHostFile(const std::string& path);

// A name of --propagate: "STACK", "NOFILE", ...; RLIMIT_* for it.
std::optional<int> LimitNamed(std::string_view name);
// The first name in the list that is none.
std::optional<std::string> BadLimitName(std::string_view list);
// "0x5" -> 0 2. Nothing if it is no mask.
std::optional<std::vector<uint32_t>> ParseMask(std::string_view text);
// 0 2 -> "0x5".
std::string FormatMask(const std::vector<uint32_t>& cpus);

}  // namespace holdfast::pod
