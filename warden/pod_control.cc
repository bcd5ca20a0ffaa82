#include "warden/pod_control.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <cstring>

namespace holdfast::warden {
namespace {

// Below the default socket buffer (net.core.wmem_default, 208 KiB), so that a packet always fits.
constexpr size_t kMaxPacketBytes = 128 * 1024;

}  // namespace

Status SendControl(const UniqueFd& socket, ControlType type, const std::string& payload) {
  if (payload.size() + 1 > kMaxPacketBytes)
    return Fail(Code::kInvalid, "talking to the pod's init: message too long");
  const std::string packet = static_cast<char>(type) + payload;
  ssize_t n;
  do {
    n = ::send(socket.get(), packet.data(), packet.size(), MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return FailErrno("talking to the pod's init");
  return {};
}

Status SendDescriptor(const UniqueFd& socket, ControlType type, const UniqueFd& descriptor) {
  char byte = static_cast<char>(type);
  iovec data{.iov_base = &byte, .iov_len = 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  const int fd = descriptor.get();
  std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  if (::sendmsg(socket.get(), &message, MSG_NOSIGNAL) != 1)
    return FailErrno("talking to the pod's init");
  return {};
}

Result<ControlMessage> ReceiveControl(const UniqueFd& socket,
                                      std::optional<std::chrono::milliseconds> timeout) {
  const auto deadline =
      std::chrono::steady_clock::now() + timeout.value_or(std::chrono::milliseconds(0));
  while (timeout) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd poll_fd{.fd = socket.get(), .events = POLLIN, .revents = 0};
    const int ready = ::poll(&poll_fd, 1, static_cast<int>(std::max<long long>(0, left.count())));
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return FailErrno("poll");
    if (ready == 0) return Fail(Code::kTimeout, "the pod's init did not answer in time");
    break;
  }
  std::string packet(kMaxPacketBytes, '\0');
  iovec data{.iov_base = packet.data(), .iov_len = packet.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t n;
  do {
    n = ::recvmsg(socket.get(), &message, MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && errno != ECONNRESET) return FailErrno("listening to the pod's init");
  if (n <= 0) return Fail(Code::kNotFound, "the pod's init is gone");
  packet.resize(static_cast<size_t>(n));
  ControlMessage received{.type = static_cast<ControlType>(packet[0]), .payload = packet.substr(1)};
  if (const cmsghdr* const header = CMSG_FIRSTHDR(&message);
      header != nullptr && header->cmsg_type == SCM_RIGHTS) {
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
    received.descriptor.Reset(fd);
  }
  return received;
}

std::string JoinArguments(const std::vector<std::string>& arguments) {
  std::string payload;
  for (const std::string& argument : arguments) payload.append(argument).push_back('\0');
  return payload;
}

std::vector<std::string> SplitArguments(const std::string& payload) {
  std::vector<std::string> arguments;
  for (size_t start = 0; start < payload.size();) {
    const size_t end = payload.find('\0', start);
    arguments.push_back(payload.substr(start, end - start));
    if (end == std::string::npos) break;
    start = end + 1;
  }
  return arguments;
}

Result<int> ParseNumber(const std::string& text) {
  int value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end)
    return Fail(Code::kInternal, "'" + text + "' is not a number");
  return value;
}

}  // namespace holdfast::warden
