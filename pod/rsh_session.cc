#include "pod/rsh_session.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "pod/frame_socket.h"
#include "pod/program.h"
#include "pod/signal_fd.h"

namespace holdfast::pod {
namespace {

class Session {
 public:
  explicit Session(UniqueFd connection) : socket_(std::move(connection)) {}

  Status Serve() {
    HOLDFAST_CHECK(CatchSignals());
    HOLDFAST_CHECK(Start());
    while (!Finished()) HOLDFAST_CHECK(Turn());
    return {};
  }

 private:
  // More than this unsent, and the command waits.
  static constexpr size_t kChunkBytes = 64 * 1024;

  struct Source {
    UniqueFd fd;
    RshFrame type;
  };

  Status CatchSignals() {
    ::signal(SIGPIPE, SIG_IGN);  // a command may stop reading
    HOLDFAST_TRY(signals_, OpenSignalFd(JobSignals()));
    return {};
  }

  Status Start() {
    std::optional<RshMessage> request;
    while (!(request = socket_.Next())) {
      if (socket_.closed()) return Fail(Code::kUnavailable, "the caller went before it asked");
      pollfd poll_fd{.fd = socket_.fd(), .events = POLLIN, .revents = 0};
      ::poll(&poll_fd, 1, -1);
      socket_.Pump();
    }
    if (request->type != RshFrame::kRun)
      return Fail(Code::kInvalid, "the caller asked for nothing");
    HOLDFAST_TRY(const Launch launch, ParseLaunch(request->data));
    HOLDFAST_TRY(Pipe input, MakePipe());
    HOLDFAST_TRY(Pipe output, MakePipe());
    HOLDFAST_TRY(Pipe error, MakePipe());
    HOLDFAST_TRY(Process command, StartProgram(launch, {{input.read_end.get(), 0},
                                                        {output.write_end.get(), 1},
                                                        {error.write_end.get(), 2}}));
    command_.emplace(std::move(command));
    input_ = std::move(input.write_end);
    ::fcntl(input_.get(), F_SETFL, O_NONBLOCK);
    sources_ = {{{std::move(output.read_end), RshFrame::kOutput},
                 {std::move(error.read_end), RshFrame::kError}}};
    TakeInput();  // what has come with the request: for that nobody is woken any more
    return {};
  }

  // Over when the command's end has been told, or there is nobody to tell.
  bool Finished() const {
    return (exit_queued_ && !socket_.has_unsent()) || (socket_.closed() && ended_);
  }

  Status Turn() {
    const bool room = socket_.closed() || !socket_.has_unsent();
    const auto source_fd = [&](const Source& source) { return room ? source.fd.get() : -1; };
    std::array<pollfd, 6> fds{{
        {socket_.closed() ? -1 : socket_.fd(), socket_.events(), 0},
        {signals_.get(), POLLIN, 0},
        {source_fd(sources_[0]), POLLIN, 0},
        {source_fd(sources_[1]), POLLIN, 0},
        {pending_input_.empty() ? -1 : input_.get(), POLLOUT, 0},
        {ended_ ? -1 : command_->pidfd().get(), POLLIN, 0},
    }};
    if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) return FailErrno("poll");
    if (fds[1].revents != 0) HOLDFAST_CHECK(PassSignal());
    if (!socket_.closed()) socket_.Pump();
    TakeInput();
    for (Source& source : sources_)
      if (room) Forward(source);
    if (!ended_ && fds[5].revents != 0) {
      HOLDFAST_TRY(status_, command_->Wait());
      ended_ = true;
    }
    // What a background child of the command still holds open is not waited for, only what it wrote
    // before.
    if (ended_ && !exit_queued_) {
      for (Source& source : sources_) Drain(source);
      socket_.Queue(RshFrame::kExit,
                    std::to_string(status_.code) + " " + std::to_string(status_.signal));
      exit_queued_ = true;
    }
    if (socket_.closed() && !ended_ && !hung_up_) {
      hung_up_ = true;
      return command_->Kill(SIGHUP);
    }
    return {};
  }

  Status PassSignal() {
    HOLDFAST_TRY(const signalfd_siginfo info, ReadSignal(signals_));
    return ended_ ? Status() : command_->Kill(static_cast<int>(info.ssi_signo));
  }

  void TakeInput() {
    while (const auto message = socket_.Next()) {
      if (message->type == RshFrame::kInput) pending_input_ += message->data;
      if (message->type == RshFrame::kInputEnd) input_ends_ = true;
    }
    while (!pending_input_.empty() && input_.valid()) {
      const ssize_t n = ::write(input_.get(), pending_input_.data(), pending_input_.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) return;
      if (n < 0) break;  // the command reads no more
      pending_input_.erase(0, static_cast<size_t>(n));
    }
    if (pending_input_.empty() && !input_ends_) return;
    pending_input_.clear();
    input_.Reset();
  }

  // One chunk of what the command wrote. Returns whether there may be more.
  bool Forward(Source& source) {
    if (!source.fd.valid()) return false;
    ::fcntl(source.fd.get(), F_SETFL, O_NONBLOCK);
    char buffer[kChunkBytes];
    const ssize_t n = ::read(source.fd.get(), buffer, sizeof buffer);
    if (n < 0) return errno == EINTR;
    if (n == 0)
      source.fd.Reset();
    else if (!socket_.closed())
      socket_.Queue(source.type, std::string_view(buffer, static_cast<size_t>(n)));
    return n > 0;
  }
  void Drain(Source& source) {
    while (Forward(source)) {
    }
  }

  FrameSocket socket_;
  UniqueFd signals_, input_;
  std::array<Source, 2> sources_;
  std::optional<Process> command_;
  std::string pending_input_;
  ExitStatus status_;
  bool input_ends_ = false, ended_ = false, exit_queued_ = false, hung_up_ = false;
};

}  // namespace

Status ServeRsh(UniqueFd connection) { return Session(std::move(connection)).Serve(); }

}  // namespace holdfast::pod
