// A small HTTP/1.1 server for fakes that must be able to misbehave: to reset a connection in the
// middle of a body, to answer less than it announced, to be slow. One thread for each connection.
//
// A handler runs on its connection's thread; handlers of different connections run at once.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"

namespace holdfast::fakes {

// Lets so many bytes a second through, for all who share it. 0: no limit.
class RateLimit {
 public:
  void Set(uint64_t bytes_per_second) { bytes_per_second_ = bytes_per_second; }
  // Blocks until the bytes may pass.
  void Take(uint64_t size_bytes);

 private:
  std::atomic<uint64_t> bytes_per_second_ = 0;
  std::mutex mutex_;
  std::chrono::steady_clock::time_point free_at_;
};

using Headers = std::map<std::string, std::string, std::less<>>;

// One request and its answer.
class Exchange {
 public:
  Exchange(const UniqueFd& socket, std::string& buffered) : socket_(socket), buffered_(buffered) {}

  std::string method;
  std::string path;                                       // as sent: pieces may be percent-encoded
  std::map<std::string, std::string, std::less<>> query;  // decoded
  Headers headers;                                        // names in lower case

  std::string Header(std::string_view name) const;
  std::string Query(std::string_view name) const;

  // The next bytes of the request's body; 0 at its end, and when the client is gone (`broken()`).
  size_t ReadBody(std::span<char> out);
  std::string ReadWholeBody();

  // Each at most once, in this order; Respond is both. A HEAD request gets no body.
  void SendHead(int status, const Headers& headers, uint64_t body_bytes);
  void SendBody(std::span<const char> data);
  void Respond(int status, const Headers& headers, std::string_view body);
  // Resets the connection: the client gets no more, and an error.
  void Drop();
  // Ends the connection in order, whatever was announced.
  void Close() { broken_ = true; }
  // Keeps the connection, but takes nothing more from it until the client has gone.
  void Stall();

  bool broken() const { return broken_; }
  bool responded() const { return responded_; }
  bool body_left() const { return chunked_ ? !chunks_ended_ : body_left_ > 0; }

  // All that goes in or out as a body waits here first.
  std::vector<RateLimit*> limits;

 private:
  friend class HttpServer;
  bool ReadHead();
  bool Fill();  // more into buffered_
  size_t ReadBuffered(std::span<char> out);
  bool NextChunk();
  void SendAll(std::span<const char> data);

  const UniqueFd& socket_;
  std::string& buffered_;
  uint64_t body_left_ = 0;  // of the body, or of the chunk
  bool chunked_ = false;
  bool chunks_ended_ = false;
  bool expects_continue_ = false;
  bool broken_ = false;
  bool responded_ = false;
};

class HttpServer {
 public:
  using Handler = std::function<void(Exchange&)>;
  // Listens on 127.0.0.1, or another address; port 0: any free one. Aborts if it cannot.
  explicit HttpServer(Handler handler, uint16_t port = 0, const std::string& address = "127.0.0.1");
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  uint16_t port() const { return port_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  // Connections accepted so far.
  unsigned connections() const { return accepted_; }

 private:
  struct Connection {
    UniqueFd socket;
    std::thread thread;
    std::atomic<bool> done = false;
  };
  void Accept();
  void Serve(Connection& connection);
  void Reap(bool all);

  const Handler handler_;
  UniqueFd listener_;
  uint16_t port_ = 0;
  std::atomic<unsigned> accepted_ = 0;
  std::mutex mutex_;
  std::list<Connection> connections_;
  std::thread acceptor_;
};

// "a%20b" -> "a b"; in a query, '+' is a blank too.
std::string Unescape(std::string_view text, bool query);

}  // namespace holdfast::fakes
