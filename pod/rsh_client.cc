#include "pod/rsh_client.h"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <string_view>

#include "pod/frame_socket.h"
#include "pod/job_socket.h"
#include "pod/launch.h"

namespace holdfast::pod {
namespace {

constexpr std::chrono::seconds kPatience{30};

// ssh's and rsh's options that take a value; the others are flags.
bool TakesValue(std::string_view option) {
  return option.size() == 2 && std::string_view("lopFiceb").contains(option[1]);
}

std::string CurrentDirectory() {
  char path[4096];
  return ::getcwd(path, sizeof path) ? path : "/";
}

Launch MakeLaunch(const std::string& command) {
  Launch launch{.argv = {"/bin/sh", "-c", command}, .cwd = CurrentDirectory()};
  for (char** entry = environ; *entry; ++entry) launch.environment.emplace_back(*entry);
  launch.umask = ::umask(0);
  ::umask(launch.umask);
  return launch;
}

std::optional<ExitStatus> ParseExit(std::string_view text) {
  ExitStatus status;
  const char* const end = text.data() + text.size();
  auto [next, error] = std::from_chars(text.data(), end, status.code);
  if (error != std::errc() || next == end || *next != ' ') return std::nullopt;
  auto [last, signal_error] = std::from_chars(next + 1, end, status.signal);
  if (signal_error != std::errc() || last != end) return std::nullopt;
  return status;
}

// Whoever called us may not read it; the command goes on all the same.
void Write(int fd, std::string_view data) {
  while (!data.empty()) {
    const ssize_t n = ::write(fd, data.data(), data.size());
    if (n < 0 && errno != EINTR) return;
    if (n > 0) data.remove_prefix(static_cast<size_t>(n));
  }
}

// Sends what stdin holds; false when it has ended.
bool SendInput(FrameSocket& socket) {
  char buffer[65536];
  const ssize_t n = ::read(STDIN_FILENO, buffer, sizeof buffer);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return true;
  if (n > 0)
    socket.Queue(RshFrame::kInput, std::string_view(buffer, static_cast<size_t>(n)));
  else
    socket.Queue(RshFrame::kInputEnd);
  return n > 0;
}

}  // namespace

Result<RshCall> ParseRshArguments(const std::vector<std::string>& arguments) {
  size_t i = 0;
  while (i < arguments.size() && arguments[i].starts_with('-') && arguments[i].size() > 1)
    i += TakesValue(arguments[i]) ? 2 : 1;
  if (i + 1 >= arguments.size()) return Fail(Code::kInvalid, "usage: holdfast-rsh HOST COMMAND...");
  RshCall call{.host = arguments[i], .command = arguments[i + 1]};
  if (const size_t at = call.host.find('@'); at != std::string::npos) call.host.erase(0, at + 1);
  for (i += 2; i < arguments.size(); ++i) call.command += " " + arguments[i];
  return call;
}

Result<Peer> FindPeer(const std::vector<Peer>& peers, const std::string& host) {
  const auto found = std::ranges::find_if(peers, [&](const Peer& peer) {
    return host == peer.hostname || host == peer.address ||
           host == peer.hostname.substr(0, peer.hostname.find('.'));
  });
  if (found != peers.end()) return *found;
  std::string known;
  for (const Peer& peer : peers) known += " " + peer.hostname;
  return Fail(Code::kNotFound, "no node " + host + " in this job; there are:" + known);
}

Result<ExitStatus> RunRemotely(const Peer& peer, const std::string& command) {
  ::signal(SIGPIPE, SIG_IGN);
  HOLDFAST_TRY(UniqueFd connection, ConnectTo(peer, kPatience));
  FrameSocket socket(std::move(connection));
  socket.Queue(RshFrame::kRun, Serialize(MakeLaunch(command)));
  bool input_open = true;
  while (true) {
    // While the socket is full, input waits.
    pollfd fds[2]{{socket.fd(), socket.events(), 0},
                  {input_open && !socket.has_unsent() ? STDIN_FILENO : -1, POLLIN, 0}};
    if (::poll(fds, 2, -1) < 0 && errno != EINTR) return FailErrno("poll");
    if (fds[1].revents != 0) input_open = SendInput(socket);
    socket.Pump();
    while (const auto message = socket.Next()) {
      if (message->type == RshFrame::kExit) {
        const auto status = ParseExit(message->data);
        if (!status) return Fail(Code::kCorrupt, peer.hostname + " sent a malformed answer");
        return *status;
      }
      const int out = message->type == RshFrame::kOutput ? STDOUT_FILENO : STDERR_FILENO;
      Write(out, message->data);
    }
    if (socket.closed())
      return Fail(Code::kUnavailable, "the connection to " + peer.hostname + " ended");
  }
}

}  // namespace holdfast::pod
