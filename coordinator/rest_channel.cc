#include "coordinator/rest_channel.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace holdfast::coordinator {
namespace {

// The first byte of TLS: a handshake record. None of HTTP's methods begins with it.
constexpr unsigned char kHandshake = 22;
constexpr size_t kRecord = 16384;

std::string PeerOf(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  char host[NI_MAXHOST] = "";
  if (::getpeername(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0)
    ::getnameinfo(reinterpret_cast<sockaddr*>(&address), size, host, sizeof host, nullptr, 0,
                  NI_NUMERICHOST);
  return host;
}

bool IsLoopback(std::string_view address) {
  if (address.starts_with("::ffff:")) address.remove_prefix(7);
  return address == "::1" || address.starts_with("127.");
}

std::unexpected<Error> TlsError(const std::string& operation) {
  std::array<char, 256> text{};
  ERR_error_string_n(ERR_get_error(), text.data(), text.size());
  ERR_clear_error();
  return Fail(Code::kInvalid, fmt::format("{}: {}", operation, text.data()));
}

}  // namespace

Result<std::shared_ptr<const RestTls>> RestTls::Load(const std::string& certificate,
                                                     const std::string& key) {
  struct stat status = {};
  if (::stat(key.c_str(), &status) != 0) return FailErrno("rest.key: " + key);
  if ((status.st_mode & S_IRWXO) != 0)
    return Fail(Code::kDenied, fmt::format("rest.key: {} may be read by anybody\n  next: chmod o= "
                                           "{}",
                                           key, key));
  std::shared_ptr<const RestTls> tls(new RestTls(SSL_CTX_new(TLS_server_method())));
  SSL_CTX* context = tls->get();
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (SSL_CTX_use_certificate_chain_file(context, certificate.c_str()) != 1)
    return TlsError("rest.certificate: " + certificate);
  if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1)
    return TlsError("rest.key: " + key);
  if (SSL_CTX_check_private_key(context) != 1)
    return TlsError(fmt::format("rest.key: {} is not that of {}", key, certificate));
  return tls;
}

RestChannel::RestChannel(UniqueFd socket, std::shared_ptr<const RestTls> tls)
    : socket_(std::move(socket)),
      tls_(std::move(tls)),
      address_(PeerOf(socket_.get())),
      local_(IsLoopback(address_)) {}

RestChannel::Outcome RestChannel::Choose() {
  unsigned char first = 0;
  const ssize_t size = ::recv(fd(), &first, 1, MSG_PEEK | MSG_DONTWAIT);
  if (size < 0) return errno == EAGAIN || errno == EINTR ? Outcome::kLater : Outcome::kClosed;
  if (size == 0) return Outcome::kClosed;
  chosen_ = true;
  if (first != kHandshake) return Outcome::kSome;
  if (!tls_) return Outcome::kClosed;
  // OpenSSL knows no other way not to wait.
  if (::fcntl(fd(), F_SETFL, ::fcntl(fd(), F_GETFL) | O_NONBLOCK) != 0) return Outcome::kClosed;
  ssl_.reset(SSL_new(tls_->get()));
  if (!ssl_ || SSL_set_fd(ssl_.get(), fd()) != 1) return Outcome::kClosed;
  SSL_set_accept_state(ssl_.get());
  return Outcome::kSome;
}

RestChannel::Outcome RestChannel::Judge(int result) {
  if (result > 0) return Outcome::kSome;
  const int error = SSL_get_error(ssl_.get(), result);
  ERR_clear_error();
  if (error == SSL_ERROR_WANT_READ) events_ = POLLIN;
  if (error == SSL_ERROR_WANT_WRITE) events_ = POLLOUT;
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return Outcome::kLater;
  return Outcome::kClosed;
}

RestChannel::Outcome RestChannel::Receive(std::string& to, size_t limit) {
  events_ = POLLIN;
  if (!chosen_)
    if (const Outcome chosen = Choose(); chosen != Outcome::kSome) return chosen;
  std::array<char, kRecord> buffer;
  Outcome outcome = Outcome::kLater;
  // Of TLS all that has come is taken: what is decrypted already no poll tells of.
  while (to.size() < limit) {
    ssize_t size = 0;
    Outcome now = Outcome::kSome;
    if (ssl_) {
      size = SSL_read(ssl_.get(), buffer.data(), buffer.size());
      now = Judge(static_cast<int>(size));
    } else {
      size = ::recv(fd(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (size <= 0)
        now = size < 0 && (errno == EAGAIN || errno == EINTR) ? Outcome::kLater : Outcome::kClosed;
    }
    if (now == Outcome::kLater) return outcome;
    if (now == Outcome::kClosed) return now;
    to.append(buffer.data(), static_cast<size_t>(size));
    outcome = Outcome::kSome;
    if (!ssl_) return outcome;
  }
  return outcome;
}

RestChannel::Outcome RestChannel::Send(const char* from, size_t size, size_t& sent) {
  sent = 0;
  events_ = POLLOUT;
  if (ssl_) {
    const int written = SSL_write(ssl_.get(), from, static_cast<int>(std::min(size, kRecord)));
    if (const Outcome outcome = Judge(written); outcome != Outcome::kSome) return outcome;
    sent = static_cast<size_t>(written);
    return Outcome::kSome;
  }
  const ssize_t written = ::send(fd(), from, size, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (written < 0) return errno == EAGAIN || errno == EINTR ? Outcome::kLater : Outcome::kClosed;
  sent = static_cast<size_t>(written);
  return Outcome::kSome;
}

void RestChannel::Close() {
  if (ssl_ && SSL_is_init_finished(ssl_.get())) SSL_shutdown(ssl_.get());
  ERR_clear_error();
  ::shutdown(fd(), SHUT_RDWR);
}

}  // namespace holdfast::coordinator
