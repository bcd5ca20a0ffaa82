#include "tests/fuzz/fuzz.h"

#include <cstdio>
#include <cstdlib>

namespace holdfast::fuzz {

void Must(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "must hold: %s\n", what);
  std::abort();
}

size_t Choose(std::string_view& bytes, size_t choices) {
  if (bytes.empty()) return 0;
  const auto chosen = static_cast<unsigned char>(bytes.front());
  bytes.remove_prefix(1);
  return chosen % choices;
}

}  // namespace holdfast::fuzz
