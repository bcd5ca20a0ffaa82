// What the fuzz targets share. A target is a file of this directory: Feed is called with bytes as
// somebody hostile might write them, and must come back, whatever they are; Seeds are good ones, of
// the real encoders, for libFuzzer to start from. `lab/test fuzz` runs all targets,
// and as unit tests (replay.cc) they are run wherever those are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::fuzz {

void Feed(std::string_view bytes);
std::vector<std::string> Seeds();

// Ends the program, which is what libFuzzer takes for a finding.
void Must(bool holds, const char* what);

inline std::span<const std::byte> AsBytes(std::string_view bytes) {
  return std::as_bytes(std::span(bytes));
}
inline std::string AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
// A byte that chooses one of so many things, taken off the front.
size_t Choose(std::string_view& bytes, size_t choices);

}  // namespace holdfast::fuzz
