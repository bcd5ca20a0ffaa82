#include "pod/task_link.h"

#include <signal.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <vector>

namespace holdfast::pod {
namespace {

// On the socket: length of what follows (4 bytes, the machine's order: both ends are one machine),
// type (1 byte), body.
struct [[gnu::packed]] Header {
  uint32_t length;
  FrameType type;
};

struct SignalBody {
  int32_t signal;
  int32_t scope;
};
struct EndedBody {
  int32_t code;
  int32_t signal;
  int32_t out_of_memory;
};
struct ReleasedBody {
  int32_t leave;
};
struct RegroupBody {
  uint32_t pods;
};

template <typename T>
std::string Bytes(const T& body) {
  return std::string(reinterpret_cast<const char*>(&body), sizeof body);
}

template <typename T>
bool Read(std::string_view bytes, T& body) {
  if (bytes.size() != sizeof body) return false;
  std::memcpy(&body, bytes.data(), sizeof body);
  return true;
}

std::string Body(const Frame& frame) {
  switch (frame.type) {
    case FrameType::kLaunch:
      return frame.launch;
    case FrameType::kSignal:
      return Bytes(SignalBody{frame.signal, static_cast<int32_t>(frame.scope)});
    case FrameType::kEnded:
      return Bytes(EndedBody{frame.status.code, frame.status.signal, frame.out_of_memory});
    case FrameType::kFailed:
      return frame.message;
    case FrameType::kReleased:
      return Bytes(ReleasedBody{frame.leave});
    case FrameType::kRegroup:
      return Bytes(RegroupBody{frame.pods});
    case FrameType::kDelivered:
      break;
  }
  return {};
}

// False if a body of this type cannot look like this.
bool ReadBody(std::string body, Frame& frame) {
  switch (frame.type) {
    case FrameType::kLaunch:
      frame.launch = std::move(body);
      return true;
    case FrameType::kSignal: {
      SignalBody signal{};
      if (!Read(body, signal) || signal.signal < 1 || signal.signal >= NSIG || signal.scope < 0 ||
          signal.scope > static_cast<int32_t>(SignalScope::kGroup))
        return false;
      frame.signal = signal.signal;
      frame.scope = static_cast<SignalScope>(signal.scope);
      return true;
    }
    case FrameType::kEnded: {
      EndedBody ended{};
      if (!Read(body, ended) || ended.code < 0 || ended.code > 255 || ended.signal < 0 ||
          ended.signal >= NSIG)
        return false;
      frame.status = {.code = ended.code, .signal = ended.signal};
      frame.out_of_memory = ended.out_of_memory != 0;
      return true;
    }
    case FrameType::kFailed:
      frame.message = std::move(body);
      return true;
    case FrameType::kReleased: {
      ReleasedBody released{};
      if (!Read(body, released)) return false;
      frame.leave = released.leave != 0;
      return true;
    }
    case FrameType::kRegroup: {
      RegroupBody regroup{};
      if (!Read(body, regroup) || regroup.pods == 0) return false;
      frame.pods = regroup.pods;
      return true;
    }
    case FrameType::kDelivered:
      return body.empty();
  }
  return false;
}

// Bytes received, fewer than asked for only at the end of the stream.
Result<size_t> ReceiveFull(const UniqueFd& socket, char* data, size_t size) {
  size_t done = 0;
  while (done < size) {
    const ssize_t n = ::recv(socket.get(), data + done, size - done, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != ECONNRESET) return FailErrno("receiving from a peer");
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

}  // namespace

Status SendFrame(const UniqueFd& socket, const Frame& frame) {
  const std::string body = Body(frame);
  if (body.size() > kMaxFrameBytes) return Fail(Code::kInvalid, "a frame is too long to send");
  const std::string bytes =
      Bytes(Header{.length = static_cast<uint32_t>(body.size()), .type = frame.type}) + body;
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::send(socket.get(), bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FailErrno("sending to a peer");
    done += static_cast<size_t>(n);
  }
  return {};
}

Result<Frame> ReceiveFrame(const UniqueFd& socket) {
  char bytes[sizeof(Header)];
  HOLDFAST_TRY(const size_t got, ReceiveFull(socket, bytes, sizeof bytes));
  if (got == 0) return Fail(Code::kNotFound, "the peer has closed the connection");
  Header header;
  std::memcpy(&header, bytes, sizeof header);
  if (got < sizeof header || header.length > kMaxFrameBytes)
    return Fail(Code::kInvalid, "a peer sent a malformed frame");
  std::string body(header.length, '\0');
  HOLDFAST_TRY(const size_t body_got, ReceiveFull(socket, body.data(), body.size()));
  Frame frame{.type = header.type};
  if (body_got < body.size() || !ReadBody(std::move(body), frame))
    return Fail(Code::kInvalid, "a peer sent a malformed frame");
  return frame;
}

}  // namespace holdfast::pod
