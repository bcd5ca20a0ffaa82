// GET /v1/events: server-sent events of what jobs go through, as it becomes durable in the journal.
//
// One thread serves all streams. The journal is their queue: a stream has its place in it, and no
// more in memory than a page of events that has not gone out. A reader who takes nothing for a
// while is told so and cut off, and comes back with the id of the last event that it has got.
//
// Used by rest_server.cc. Thread-safe.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "coordinator/controller.h"
#include "coordinator/rest_answer.h"
#include "coordinator/rest_caller.h"
#include "coordinator/rest_channel.h"
#include "coordinator/rest_rights.h"

namespace holdfast::coordinator {

class RestEvents {
 public:
  struct Limits {
    size_t streams = 256;
    size_t streams_of_a_user = 8;
    std::chrono::milliseconds look{200};          // how often the journal is looked at
    std::chrono::milliseconds heartbeat{15'000};  // something goes out at least this often
    std::chrono::milliseconds patience{30'000};   // with a reader who takes nothing
    std::chrono::milliseconds farewell{30'000};   // for them to take it that they are cut off
    int send_buffer = 64 << 10;                   // the kernel's, of each
  };
  // Both must outlive it.
  RestEvents(Controller& controller, RestRights& rights, const Limits& limits);
  ~RestEvents();

  // Opens a stream by answering `response`; the request's thread is free afterwards.
  std::optional<Refusal> Open(const httplib::Request& request, const Caller& caller,
                              httplib::Response& response);
  // So far, for taking nothing.
  size_t readers_cut() const { return readers_cut_; }

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Stream {
    RestChannel channel;
    Caller caller;
    std::optional<uint32_t> job;  // this one's alone
    int64_t place = 0;            // events up to that one have been seen to
    std::string unsent;
    Time moved;           // when something last went out, or had all gone
    bool ending = false;  // once `unsent` is out
  };

  void Run();
  void Look(Time now);
  // False: it is over.
  bool Serve(Stream& stream, short ready, Time now);
  void Fill(Stream& stream, const std::vector<NumberedEvent>& page);
  void Cut(Stream& stream, Time now);
  static void Say(Stream& stream, const std::string& event, const std::string& why);
  // With the mutex held.
  void Leave(uid_t uid);

  Controller& controller_;
  RestRights& rights_;
  const Limits limits_;
  UniqueFd wake_;  // an eventfd
  std::mutex mutex_;
  bool stopping_ = false;
  std::map<uid_t, size_t> readers_;  // streams by user, also those on their way
  std::vector<Stream> opened_;       // for the thread
  std::list<Stream> streams_;        // of the thread alone
  Time looked_;
  std::atomic<size_t> readers_cut_ = 0;
  std::thread thread_;
};

}  // namespace holdfast::coordinator
