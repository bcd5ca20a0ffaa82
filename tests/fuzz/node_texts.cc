// What stands on a node, or is said by its cloud, and goes into a pod or to the coordinator; and
// the comment that a user has given a job.
#include "base/printable.h"
#include "coordinator/slurm_client.h"
#include "tests/fuzz/fuzz.h"
#include "warden/attributes/policies.h"
#include "warden/isolation/network.h"
#include "warden/isolation/outside.h"
#include "warden/notices/source.h"

namespace holdfast::fuzz {

void Feed(std::string_view bytes) {
  const size_t choice = Choose(bytes, 6);
  const std::string text(bytes);
  switch (choice) {
    case 0:
      (void)warden::MakeHosts({.subnet = "198.18.0.0/16",
                               .peers = {{.pod = 0, .node_address = "10.0.0.1", .hostname = "n1"}}},
                              text);
      return;
    case 1:
      (void)warden::MakeResolverConfiguration(text);
      return;
    case 2:
      (void)notices::ParseTime(text, "%Y-%m-%dT%H:%M:%SZ");
      (void)notices::ParseTime(text, "%a, %d %b %Y %H:%M:%S GMT");
      return;
    case 3:
      (void)warden::ParsePolicy(bytes, {0, 1});
      return;
    case 4:
      (void)warden::ParseNodes(bytes);
      return;
    default: {
      const std::string merged = coordinator::MergeComment(text, "checkpoint 1: " + text);
      Must(coordinator::MergeComment(merged, "") == coordinator::MergeComment(text, ""),
           "what the user has in a comment stays");
    }
  }
}

std::vector<std::string> Seeds() {
  using namespace std::string_literals;
  return {"\0"s + "127.0.0.1 localhost\n10.0.0.1 n1 n1.site # here\n\n::1 x\n",
          "\1"s + "nameserver 10.0.0.2\nsearch site\noptions ndots:2",
          "\2"s + "2026-01-31T12:00:00Z",
          "\2"s + "Sat, 31 Jan 2026 12:00:00 GMT",
          "\3"s + "bind=static:0-1 file=/lib/x anon=3 N0=3",
          "\3"s + "prefer=relative:1 heap",
          "\4"s + "0-2,5",
          "\5"s + "mine; holdfast: checkpoint 3: no"};
}

}  // namespace holdfast::fuzz
