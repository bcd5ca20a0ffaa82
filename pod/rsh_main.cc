// holdfast-rsh [OPTION...] HOST COMMAND...: see pod/rsh_client.h.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "base/files.h"
#include "pod/exit_like.h"
#include "pod/rsh_client.h"

namespace holdfast::pod {
namespace {

// What ssh exits with when it, and not the command, failed.
constexpr int kOwnFailure = 255;

Result<ExitStatus> Run(const std::vector<std::string>& arguments) {
  HOLDFAST_TRY(const RshCall call, ParseRshArguments(arguments));
  HOLDFAST_TRY(const std::string text, ReadFile(kPeersPath));
  HOLDFAST_TRY(const auto peers, ParsePeers(text));
  HOLDFAST_TRY(const Peer peer, FindPeer(peers, call.host));
  return RunRemotely(peer, call.command);
}

}  // namespace
}  // namespace holdfast::pod

int main(int argc, char** argv) {
  const pid_t caller = ::getppid();
  const auto ended = holdfast::pod::Run({argv + 1, argv + argc});
  if (ended) holdfast::pod::ExitLike(*ended);
  // Who is still there when mpirun has ended has nobody to tell: the job may be at its end, and its
  // pods go one after the other.
  if (::getppid() != caller) return holdfast::pod::kOwnFailure;
  std::fprintf(stderr, "holdfast-rsh: %s\n", ended.error().message().c_str());
  return holdfast::pod::kOwnFailure;
}
