// srun's command line and variables: arguments and NAME=VALUE apart by NUL, two NULs between them.
#include "pod/steps/options.h"
#include "tests/fuzz/fuzz.h"

namespace holdfast::fuzz {
namespace {

std::vector<std::string> Split(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\0'), text.size());
    words.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

}  // namespace

void Feed(std::string_view bytes) {
  const size_t between = std::min(bytes.find(std::string_view("\0\0", 2)), bytes.size());
  std::vector<std::string> remarks;
  const auto options =
      pod::ParseOptions(Split(bytes.substr(0, between)), Split(bytes.substr(between)), remarks);
  if (!options) Must(!options.error().lines.empty(), "who is refused is told why");
}

std::vector<std::string> Seeds() {
  std::vector<std::string> seeds;
  for (const std::string words :
       {"-n 4 -N 1-2 --ntasks-per-node=2 -c 2 -l ./a.out x| SLURM_NTASKS=4 SLURM_JOB_ID=7",
        "--cpu-bind=verbose,mask_cpu:0x3,0xc --mem=2G -t 1-02:03:04 -o out.%J.%4t hostname|",
        "-m cyclic:block --export=ALL,A=b --propagate=STACK,NOFILE --multi-prog conf|",
        "--mpi=pmi2 -w n[1-3,7] -x n2 --relative=1 --signal=USR1@60 --kill-on-bad-exit=1 a|",
        "-D /tmp -i none -e err --bcast=/tmp/a -W 3 -K -O --exact --mem-per-cpu=100M -u -q a|",
        "--cpu-bind=map_cpu:0,1 --distribution=plane=2 --jobid=7 --version| SLURM_CPU_BIND=none"}) {
    std::string& seed = seeds.emplace_back();
    for (const char character : words)
      if (character == '|')
        seed += '\0';
      else
        seed += character == ' ' ? '\0' : character;
  }
  return seeds;
}

}  // namespace holdfast::fuzz
