#include <cstdlib>
#include <fstream>

#include "tests/fuzz/fuzz.h"

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
