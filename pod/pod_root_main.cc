// pod-root POD: see pod/pod_root.h. Executes itself anew as
//   pod-root --become FD    to start a program (pod/program.h)
//   pod-root --session FD   to serve one caller of holdfast-rsh (pod/rsh_session.h)
//   pod-root --step FD      to run a step's tasks in this pod (pod/steps/daemon.h)
//   pod-root --task FD N    to become one of them (pod/steps/task.h)
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "base/files.h"
#include "pod/exit_like.h"
#include "pod/pod_root.h"
#include "pod/program.h"
#include "pod/rsh_session.h"
#include "pod/steps/daemon.h"
#include "pod/steps/task.h"

namespace holdfast::pod {
namespace {

// 126: found, but could not be executed, as shells say it.
constexpr int kCannotExecute = 126;

int Complain(const Error& error, int code) {
  std::fprintf(stderr, "holdfast: pod-root: %s\n", error.message().c_str());
  return code;
}

Result<ExitStatus> RunPodRoot(const char* pod) {
  HOLDFAST_TRY(const std::string text, ReadFile(kPeersPath));
  HOLDFAST_TRY(auto peers, ParsePeers(text));
  return PodRoot(static_cast<uint32_t>(std::strtoul(pod, nullptr, 10)), std::move(peers)).Run();
}

int Main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  if (argc == 3 && mode == "--become") return Complain(Become(std::atoi(argv[2])), kCannotExecute);
  if (argc == 3 && mode == "--session") {
    const Status served = ServeRsh(UniqueFd(std::atoi(argv[2])));
    return served ? EXIT_SUCCESS : Complain(served.error(), EXIT_FAILURE);
  }
  if (argc == 3 && mode == "--step") {
    const Status served = ServeStep(UniqueFd(std::atoi(argv[2])));
    return served ? EXIT_SUCCESS : Complain(served.error(), EXIT_FAILURE);
  }
  if (argc == 4 && mode == "--task")
    return BecomeTask(std::atoi(argv[2]), static_cast<size_t>(std::atoll(argv[3])));
  if (argc != 2) {
    std::fprintf(stderr, "usage: pod-root POD (started by holdfast-warden)\n");
    return EXIT_FAILURE;
  }
  const auto ended = RunPodRoot(argv[1]);
  if (!ended) return Complain(ended.error(), EXIT_FAILURE);
  ExitLike(*ended);
}

}  // namespace
}  // namespace holdfast::pod

int main(int argc, char** argv) { return holdfast::pod::Main(argc, argv); }
