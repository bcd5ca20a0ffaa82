#include "pod/frame_socket.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace holdfast::pod {
namespace {

// Takes what is done with off the front, once that is most of it.
void Drop(std::string& bytes, size_t& done) {
  if (done < bytes.size() - done) return;
  bytes.erase(0, done);
  done = 0;
}

}  // namespace

FrameSocket::FrameSocket(UniqueFd socket) : socket_(std::move(socket)) {
  const int one = 1;
  // Fails on what is not TCP, and matters on nothing else.
  ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

short FrameSocket::events() const {
  return static_cast<short>(has_unsent() ? POLLIN | POLLOUT : POLLIN);
}

void FrameSocket::Queue(RshFrame type, std::string_view data) {
  Drop(out_, sent_);
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
  while (has_unsent() && !closed_) {
    const ssize_t n = ::send(socket_.get(), out_.data() + sent_, out_.size() - sent_,
                             MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (n < 0) {
      closed_ = true;
      return;
    }
    sent_ += static_cast<size_t>(n);
  }
  Drop(out_, sent_);
}

void FrameSocket::Receive() {
  char buffer[65536];
  Drop(in_, taken_);
  while (!closed_ && in_.size() - taken_ < kMaxFrameBytes + kHeaderBytes) {
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
  const std::string_view rest = std::string_view(in_).substr(taken_);
  if (rest.size() < kHeaderBytes) return std::nullopt;
  uint32_t length = 0;
  std::memcpy(&length, rest.data(), sizeof length);
  if (length > kMaxFrameBytes) {
    closed_ = true;
    in_.clear();
    taken_ = 0;
    return std::nullopt;
  }
  if (rest.size() < kHeaderBytes + length) return std::nullopt;
  RshMessage message{.type = static_cast<RshFrame>(rest[kHeaderBytes - 1]),
                     .data = std::string(rest.substr(kHeaderBytes, length))};
  taken_ += kHeaderBytes + length;
  return message;
}

}  // namespace holdfast::pod
