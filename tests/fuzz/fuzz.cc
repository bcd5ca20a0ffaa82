#include "tests/fuzz/fuzz.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>

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

// libFuzzer calls these. With HOLDFAST_SEEDS=DIRECTORY the program writes its seeds there instead.
extern "C" int LLVMFuzzerInitialize(int*, char***) {
  const char* directory = std::getenv("HOLDFAST_SEEDS");
  if (directory == nullptr) return 0;
  size_t number = 0;
  for (const std::string& seed : holdfast::fuzz::Seeds())
    std::ofstream(std::string(directory) + "/seed-" + std::to_string(++number)) << seed;
  std::exit(0);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  holdfast::fuzz::Feed({reinterpret_cast<const char*>(data), size});
  return 0;
}
