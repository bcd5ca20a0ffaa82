// httplib's server with a gate before its threads, and TLS on the same port for who speaks it. A
// connection waits at the gate, where it costs a descriptor and no thread, until its whole request
// is there and a thread is free, which answers it and closes it. Who sends slowly, or nothing, is
// sent away after a while; when too many wait, the oldest of the address that most come from. So
// nobody without a credential can keep others out.
//
// Used by rest_server.cc. Its functions are httplib's; its threads are its own.
#pragma once

#include <httplib.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "coordinator/rest_channel.h"

namespace holdfast::coordinator {

class RestGate final : public httplib::Server {
 public:
  struct Limits {
    size_t threads = 32;
    size_t waiting = 1024;                       // connections at the gate or for a thread
    size_t request_bytes = 80 << 10;             // head and body
    std::chrono::milliseconds patience{10'000};  // for a request to come, and for its answer to go
  };
  explicit RestGate(const Limits& limits);
  ~RestGate() override;

  // From now on, for connections that come; null: none.
  void ServeTls(std::shared_ptr<const RestTls> tls);
  // Requests that are there and wait for a thread.
  size_t Waiting();

  // The request that this thread is answering; for handlers alone.
  struct Exchange {
    const RestChannel& channel;
    // Set: takes the connection when the answer is out, instead of its being closed.
    std::function<void(RestChannel)> keep;
  };
  static Exchange& current();

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Connection {
    RestChannel channel;
    Time deadline;
    std::string received;
    std::optional<size_t> size;  // of the request, once its head is there
  };
  class Stream;

  // Of httplib::Server: takes an accepted connection, on the accepting thread.
  bool process_and_close_socket(socket_t socket) override;
  void Start();
  void Stop();
  void RunGate();
  void RunWorker();
  // False if the connection is to be closed, or its request is complete and under way.
  bool Receive(Connection& connection);
  void MakeRoom();

  const Limits limits_;
  UniqueFd wake_;  // an eventfd
  std::mutex mutex_;
  std::condition_variable complete_changed_;
  std::shared_ptr<const RestTls> tls_;
  std::vector<Connection> accepted_;  // for the gate's thread
  std::deque<Connection> complete_;   // for the workers
  bool stopping_ = false;
  std::list<Connection> waiting_;  // of the gate's thread alone, oldest first
  std::thread gate_;
  std::vector<std::thread> workers_;
};

}  // namespace holdfast::coordinator
