// The warden's line to the coordinator: one gRPC stream that is opened again for as long as the
// warden lives. MUNGE credentials prove both ends to each other before anything is believed.
//
// The pod never depends on it: while it is down, messages about the pod's state are dropped,
// because the Hello of the next connection says where the pod is; only Events are kept for later.
// So that a Hello is never out of date, it is used once: when a connection has ended, the owner
// deals with all that came over it, reopens the line and sets the next one.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "protocol/holdfast.grpc.pb.h"

namespace holdfast::warden {

// How the two ends prove themselves; replaced in tests.
class Authenticator {
 public:
  virtual ~Authenticator() = default;
  virtual Result<std::string> Seal(const std::string& payload) = 0;
  virtual Status VerifyCoordinator(const std::string& credential, const std::string& payload) = 0;
};
// With MUNGE; the coordinator is whoever runs as `user`.
Result<std::unique_ptr<Authenticator>> MakeMungeAuthenticator(const std::string& user);

struct ChannelOptions {
  std::string target;  // HOST:PORT
  // After so long without ever having been let in, the coordinator's reason becomes a Refuse.
  std::chrono::milliseconds denial_limit{60'000};
};

// What Take returns. On every connection the first message is a Welcome whose sender is proven.
struct Incoming {
  bool lost = false;  // the stream broke; no message
  v1::ToWarden message;
};

class Channel {
 public:
  static Result<std::unique_ptr<Channel>> Open(const ChannelOptions& options,
                                               std::unique_ptr<Authenticator> authenticator);
  ~Channel();

  // What the next connection begins with (credential and nonce are filled in); until then none is
  // made. Once it has been said it cannot be replaced before Reopen. Thread-safe, as are the rest.
  void SetHello(v1::Hello hello);
  // The owner has dealt with everything up to the loss of the connection.
  void Reopen();
  // Takes it back, and with it the coordinator's chance to hear it. False if it has been said
  // already.
  bool WithdrawHello();
  // To the coordinator, in the order of the calls, after the Hello; never blocks.
  void Send(v1::FromWarden message);
  // Whether the coordinator has answered with a Welcome.
  bool attached() const;
  // Since when no connection has been up over which a Hello went; nothing if one is.
  std::optional<std::chrono::steady_clock::time_point> away_since() const;

  // Polls readable when Take has something. Take is for one thread.
  const UniqueFd& fd() const { return incoming_fd_; }
  std::vector<Incoming> Take();

 private:
  using Stream = grpc::ClientReaderWriterInterface<v1::FromWarden, v1::ToWarden>;

  Channel(const ChannelOptions& options, std::unique_ptr<Authenticator> authenticator,
          UniqueFd incoming_fd);
  void Loop(const std::stop_token& stop);
  // One connection, from Challenge to its end. Returns whether it got as far as Welcome.
  bool Converse(const std::stop_token& stop);
  Status Introduce(Stream& stream);
  void Write(const std::stop_token& stop, Stream& stream);
  void Post(Incoming incoming);
  void NoteDenial(const grpc::Status& status);

  const ChannelOptions options_;
  const std::unique_ptr<Authenticator> authenticator_;
  const UniqueFd incoming_fd_;  // eventfd
  const std::unique_ptr<v1::Coordinator::Stub> stub_;

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::optional<v1::Hello> hello_;
  grpc::ClientContext* context_ = nullptr;  // of the call under way
  bool greeted_ = false;                    // the connection under way has taken the Hello
  bool reopened_ = true;                    // since the last such connection
  bool attached_ = false;
  bool ever_attached_ = false;
  std::chrono::steady_clock::time_point away_since_ = std::chrono::steady_clock::now();
  std::optional<std::chrono::steady_clock::time_point> denied_since_;
  std::deque<v1::FromWarden> outgoing_;
  std::vector<Incoming> incoming_;
  std::jthread thread_;  // last: ends before what it uses
};

}  // namespace holdfast::warden
