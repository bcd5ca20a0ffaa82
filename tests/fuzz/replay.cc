// The main program of a target where there is no libFuzzer, as a unit test: feeds it the seeds, the
// files of the directories that it is given, and what comes of each by changes that are the same
// every time.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>

#include "tests/fuzz/fuzz.h"

namespace {

constexpr int kChanges = 300;

std::string Changed(std::string input, std::minstd_rand& random) {
  const auto below = [&](size_t limit) { return limit == 0 ? 0 : random() % limit; };
  for (size_t times = 1 + below(4); times > 0; --times) {
    const size_t at = below(input.size() + 1);
    switch (below(4)) {
      case 0:
        if (at < input.size()) input[at] = static_cast<char>(random() >> 8);
        break;
      case 1:
        input.insert(at, input.substr(below(input.size() + 1), below(64)));
        break;
      case 2:
        input.erase(at, below(64));
        break;
      default:
        input.resize(at);
    }
  }
  return input;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> inputs = holdfast::fuzz::Seeds();
  for (int i = 1; i < argc; ++i)
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      std::ifstream file(entry.path(), std::ios::binary);
      inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
  if (inputs.empty()) return 1;
  std::minstd_rand random;
  for (const std::string& input : inputs) {
    holdfast::fuzz::Feed(input);
    for (int i = 0; i < kChanges; ++i) holdfast::fuzz::Feed(Changed(input, random));
  }
  std::cout << inputs.size() << " inputs, " << kChanges << " changes of each\n";
}
