// What the kernel says of a job's processes and root reads; names in it are the user's.
#include "tests/fuzz/fuzz.h"
#include "warden/criu/accept_queues.h"
#include "warden/isolation/cgroup.h"
#include "warden/isolation/limits.h"
#include "warden/isolation/pod_control.h"
#include "warden/isolation/pod_processes.h"

namespace holdfast::fuzz {

void Feed(std::string_view bytes) {
  const size_t choice = Choose(bytes, 5);
  const std::string text(bytes);
  switch (choice) {
    case 0:
      (void)warden::ParseLimits(text);
      return;
    case 1:
      (void)warden::ParseMemberships(text);
      return;
    case 2:
      (void)warden::InnermostPid(text);
      return;
    case 3:
      (void)warden::ReadableAddress(text);
      return;
    default:
      (void)warden::SplitArguments(text);
      (void)warden::ReadNumber(text);
  }
}

std::vector<std::string> Seeds() {
  using namespace std::string_literals;
  return {
      "\0Max cpu time              unlimited            unlimited            seconds\n"
      "Max open files            1024                 524288               files\n"s,
      "\1"s + "5:freezer:/slurm/uid_1000\n0::/a/b\n",
      "\2Name:\ta\\nb\nPid:\t12\nNSpid:\t4711\t1000\n"s,
      "\3"s + "0100007F:0050",
      "\3"s + "00000000000000000000000001000000:0050",
      "\4"s + "pod-root\0x\0"s};
}

}  // namespace holdfast::fuzz
