// One run of CRIU inside a pod. Drives `criu swrk`, CRIU's own protocol for programs (a protobuf
// message each way over a socket), because there CRIU stops at stages and asks before going on:
// that is how tasks are kept frozen, or restored but not yet running, until every pod is ready.
//
// It runs as the pod's owner, not as root: what it opens are paths, and their owner can have put
// anything there.
//
// Used by save.cc and restore.cc, each run by one thread.
#pragma once

#include <chrono>
#include <functional>
#include <future>
#include <string>
#include <string_view>
#include <vector>

#include "base/process.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "warden/isolation/pod.h"
#include "warden_images/criu_rpc.pb.h"

namespace holdfast::warden {

struct CriuVersion {
  int major = 0, minor = 0, patch = 0;
  auto operator<=>(const CriuVersion&) const = default;
  std::string ToString() const;
};

// 4.1 and older cannot dump sockets on Linux >= 6.16 (SO_PASSCRED on inet sockets is refused), and
// speak another page-server protocol.
inline constexpr CriuVersion kOldestCriu{4, 2, 0};

// Asks the program; kNotFound if it is not there, kUnsupported if it is older than kOldestCriu.
Result<CriuVersion> FindCriu(const std::string& program);

struct CriuRun {
  std::string program;
  std::string log_path;  // on the node
  // Where images are read or written. CRIU gets it as a descriptor, so that it need not be
  // reachable by any path in the pod.
  const UniqueFd* images = nullptr;
  // The library in it (preload.cc, preload_restore.cc), if it is to have one; descriptors that this
  // finds under these numbers, and variables.
  std::string preload;
  std::vector<std::pair<int, int>> preload_fds;
  std::vector<std::string> preload_environment;
  // Dumping with lazy pages: the end of a socket pair where CRIU serves memory.
  const UniqueFd* page_socket = nullptr;
  // Asked again and again until CRIU is held; its error ends the run.
  std::function<Status()> may_go_on;
};

class Criu {
 public:
  using Clock = std::chrono::steady_clock;

  // Starts CRIU in the pod's namespaces and sends it the request, of which images and logging
  // are filled in here.
  static Result<Criu> Start(const Pod& pod, const CriuRun& run, rpc::criu_req request,
                            Clock::time_point deadline);
  Criu(Criu&&) = default;
  Criu& operator=(Criu&&) = delete;
  ~Criu();  // kills it

  // Lets CRIU go on until it reaches the stage ("status-ready", "post-dump", "post-restore"), where
  // it stays until the next call. Any error means that CRIU has ended, and quotes its own words;
  // kTimeout if it was killed because the deadline passed.
  Status WaitForStage(std::string_view stage);
  // kUnsupported if it has not got the library of CriuRun; once it has reached a stage.
  Status CheckPreload(const CriuRun& run) const;
  // After it was held: what is left has a minute, whatever the deadline was.
  void GrantTime();
  // Whether it has not ended. While it has not, tasks are as it holds them.
  bool Alive() const;
  // Lets CRIU go on to its end; success if it reports success.
  Status Finish();

  // CRIU's own error lines in the log, at most three, each indented on a line of its own.
  static std::string ErrorLines(const std::string& log_path);

 private:
  Criu(Process process, UniqueFd pidfd, UniqueFd socket, const CriuRun& run,
       Clock::time_point deadline);

  Status Send(const rpc::criu_req& request);
  // Until it says something.
  Status AwaitWord();
  Result<rpc::criu_resp> Receive();
  Status AnswerPending();
  void Kill() const;
  // Makes sure CRIU has ended, and says why.
  Error End(Error error);

  UniqueFd pidfd_;
  pid_t pid_;  // for as long as pidfd_ tells that it lives
  // A thread collects CRIU as soon as it ends: until then its pod's PID 1 cannot end either
  // (pid_namespaces(7)), and pods are killed while CRIU holds their tasks.
  std::future<Result<ExitStatus>> ended_;
  UniqueFd socket_;
  std::string log_path_;
  std::function<Status()> may_go_on_;
  Clock::time_point deadline_;
  bool held_ = false;     // it has been, and only has to end
  bool pending_ = false;  // CRIU waits for an answer
};

// What save and restore have in common.
rpc::criu_opts CommonOptions();

// Has the program run as the pod's owner, with the capabilities that CRIU needs, none of which is
// about files. Whatever path an image or the pod leads it to, it can open, create and bind no more
// than the owner could (docs/adr/0017-criu-runs-as-the-user.md).
void RunAsOwner(SpawnOptions& options, const Identity& owner);
// Nothing of the warden's; CRIU finds its cache of the kernel's features beside the images.
std::vector<std::string> CriuEnvironment();
// Puts that cache there. Only root can find out all of them: the program is asked to, as root, and
// keeps what it found in /run until the node is started again or CRIU is replaced.
Status ProvideFeatureCache(const Pod& pod, const std::string& program, const UniqueFd& images);

}  // namespace holdfast::warden
