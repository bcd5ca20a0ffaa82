#include "pod/frame_socket.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace holdfast::pod {
FrameSocket::FrameSocket(UniqueFd socket) : socket_(std::move(socket)) {
  const int one = 1;
  // Fails on what is not TCP, and matters on nothing else.
  ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

short FrameSocket::events() const {
  return static_cast<short>(out_.empty() ? POLLIN : POLLIN | POLLOUT);
}

void FrameSocket::Queue(RshFrame type, std::string_view data) {
  const auto length = static_cast<uint32_t>(data.size());
  char header[kHeaderBytes];
  std::memcpy(header, &length, sizeof length);
  header[kHeaderBytes - 1] = static_cast<char>(type);
  out_.append(header, sizeof header);
  out_.append(data);
}

void FrameSocket::Pump() {
  Send();
  Receive();
}

void FrameSocket::Send() {
  while (!out_.empty() && !closed_) {
    const ssize_t n = ::send(socket_.get(), out_.data(), out_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (n < 0) {
      closed_ = true;
      return;
    }
    out_.erase(0, static_cast<size_t>(n));
  }
}

void FrameSocket::Receive() {
  char buffer[65536];
  while (!closed_ && in_.size() < kMaxFrameBytes + kHeaderBytes) {
    const ssize_t n = ::recv(socket_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (n <= 0) {
      closed_ = true;
      return;
    }
    in_.append(buffer, static_cast<size_t>(n));
  }
}

std::optional<RshMessage> FrameSocket::Next() {
  if (in_.size() < kHeaderBytes) return std::nullopt;
  uint32_t length = 0;
  std::memcpy(&length, in_.data(), sizeof length);
  if (length > kMaxFrameBytes) {
    closed_ = true;
    in_.clear();
    return std::nullopt;
  }
  if (in_.size() < kHeaderBytes + length) return std::nullopt;
  RshMessage message{.type = static_cast<RshFrame>(in_[kHeaderBytes - 1]),
                     .data = in_.substr(kHeaderBytes, length)};
  in_.erase(0, kHeaderBytes + length);
  return message;
}

}  // namespace holdfast::pod
