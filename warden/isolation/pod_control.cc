#include "warden/isolation/pod_control.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <span>
#include <utility>

#include "base/descriptor_passing.h"

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
  const auto byte = static_cast<std::byte>(type);
  return SendWithDescriptor(socket, std::span(&byte, 1), descriptor)
      .transform_error(
          [](Error error) { return std::move(error).Wrap("talking to the pod's init"); });
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
  auto received = ReceiveWithDescriptor(socket, std::as_writable_bytes(std::span(packet)));
  if (!received && received.error().errno_value() != ECONNRESET)
    return std::unexpected(std::move(received).error().Wrap("listening to the pod's init"));
  if (!received || received->size_bytes == 0)
    return Fail(Code::kNotFound, "the pod's init is gone");
  packet.resize(received->size_bytes);
  return ControlMessage{.type = static_cast<ControlType>(packet[0]),
                        .payload = packet.substr(1),
                        .descriptor = std::move(received->descriptor)};
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

Result<int> ReadNumber(const std::string& text) {
  int value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end)
    return Fail(Code::kInternal, "'" + text + "' is not a number");
  return value;
}

}  // namespace holdfast::warden
