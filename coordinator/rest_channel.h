// A connection's bytes, in the clear or through TLS, whichever its first byte says. Nothing here
// blocks. Used by rest_gate.cc and rest_events.cc; a channel belongs to one thread at a time.
#pragma once

#include <openssl/ssl.h>
#include <poll.h>

#include <memory>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace holdfast::coordinator {

// The server's certificate and key. Thread-safe.
class RestTls {
 public:
  // PEM files: the certificate with those that sign it, and its key, which nobody but the
  // coordinator's user and group may read.
  static Result<std::shared_ptr<const RestTls>> Load(const std::string& certificate,
                                                     const std::string& key);
  SSL_CTX* get() const { return context_.get(); }

 private:
  explicit RestTls(SSL_CTX* context) : context_(context) {}
  struct Free {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };
  std::unique_ptr<SSL_CTX, Free> context_;
};

class RestChannel {
 public:
  enum class Outcome {
    kSome,    // bytes went
    kLater,   // none now: poll for events()
    kClosed,  // by the peer, or broken
  };

  // `tls`: null if none is served.
  RestChannel(UniqueFd socket, std::shared_ptr<const RestTls> tls);

  // Appends all that has come, but no more than fits below `limit` and a record of TLS.
  Outcome Receive(std::string& to, size_t limit);
  // `sent`: how much of it went.
  Outcome Send(const char* from, size_t size, size_t& sent);
  // Says goodbye; does not wait.
  void Close();

  int fd() const { return socket_.get(); }
  // What to poll for, to go on with what could not be done.
  short events() const { return events_; }
  const std::string& address() const { return address_; }  // the peer's
  // Nobody between here and the peer can read along.
  bool confidential() const { return ssl_ != nullptr || local_; }

 private:
  // False: the first byte is not there yet.
  Outcome Choose();
  Outcome Judge(int result);

  struct Free {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };
  UniqueFd socket_;
  std::shared_ptr<const RestTls> tls_;
  std::unique_ptr<SSL, Free> ssl_;
  std::string address_;
  bool local_ = false;
  bool chosen_ = false;
  short events_ = POLLIN;
};

}  // namespace holdfast::coordinator
