// The small languages of Slurm's options and variables.
#include "pod/mpi_environment.h"
#include "pod/steps/file_pattern.h"
#include "pod/steps/hostlist.h"
#include "pod/steps/mpi/exchange.h"
#include "pod/steps/values.h"
#include "tests/fuzz/fuzz.h"

namespace holdfast::fuzz {

void Feed(std::string_view bytes) {
  switch (Choose(bytes, 8)) {
    case 0:
      if (const auto hosts = pod::ExpandHosts(bytes); hosts && hosts->size() < 10'000) {
        const auto again = pod::ExpandHosts(pod::CompressHosts(*hosts));
        Must(again && *again == *hosts, "hosts that are drawn together are the same hosts");
      }
      return;
    case 1:
      if (const auto counts = pod::ParseCounts(bytes); counts && counts->size() < 10'000)
        Must(*pod::ParseCounts(pod::CompressCounts({counts->begin(), counts->end()})) == *counts,
             "counts that are drawn together are the same counts");
      return;
    case 2:
      (void)pod::DiffersByTask(bytes);
      (void)pod::ExpandPattern(bytes, {.job = 7, .task = 3, .host = "n1", .user = "alice"});
      return;
    case 3:
      if (const auto cpus = pod::ParseMask(bytes))
        Must(pod::ParseMask(pod::FormatMask(*cpus)) == cpus, "a mask is read as it was written");
      return;
    case 4:
      (void)pod::ParseCount(bytes);
      (void)pod::ParseMegabytes(bytes);
      (void)pod::ParseSignal(bytes);
      return;
    case 5:
      (void)pod::ParseLimitSeconds(bytes);
      return;
    case 6:
      (void)pod::BadLimitName(bytes);
      return;
    default:
      if (const auto tasks = pod::TasksOfNodes(bytes, 3, 8)) {
        Must(tasks->size() == 3, "every node has its tasks");
        const auto again = pod::TasksOfNodes(pod::MapTasks(*tasks), 3, 8);
        Must(again && *again == *tasks, "a mapping is read as it was written");
      }
  }
}

std::vector<std::string> Seeds() {
  using namespace std::string_literals;
  return {"\0n[01-03,7],login-[1-2]x"s,
          "\1"s + "2(x3),1",
          "\2out.%J.%4t.%N.%%.%u"s,
          "\3"s + "0xff00f",
          "\4"s + "12k",
          "\4"s + "SIGUSR1",
          "\4"s + "10G",
          "\5"s + "2-12:30:00",
          "\6STACK,NOFILE"s,
          "\7(vector,(0,2,3),(2,1,2))"s};
}

}  // namespace holdfast::fuzz
