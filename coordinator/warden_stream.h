// One pod's warden, as gRPC's threads serve it: no thread waits for it, so that ten thousand of
// them cost memory and nothing else. Lives until gRPC is done with it and the controller has let
// go. Thread-safe.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <list>
#include <memory>
#include <mutex>
#include <string>

#include "base/result.h"
#include "coordinator/controller.h"
#include "protocol/holdfast.grpc.pb.h"

namespace holdfast::coordinator {

class WardenStream final : public grpc::ServerBidiReactor<v1::FromWarden, v1::ToWarden>,
                           public WardenLink,
                           public std::enable_shared_from_this<WardenStream> {
 public:
  // Does for streams what takes time. None of its calls blocks.
  class Host {
   public:
    virtual ~Host() = default;
    // The peer has said who it is: Admitted or Refuse follows.
    virtual void Admit(std::shared_ptr<WardenStream> stream) = 0;
    // A Welcome is to be sent: Sealed follows, with a credential over greeting().
    virtual void Seal(std::shared_ptr<WardenStream> stream) = 0;
  };

  // All must live until gRPC's server has been shut down.
  WardenStream(grpc::CallbackServerContext& context, Controller& controller, Host& host);
  // Challenges the peer. Once, right after construction.
  void Begin();

  void Send(std::shared_ptr<const v1::ToWarden> message) override;
  void Close() override;

  // What the peer has said, once it is to be admitted.
  const v1::Hello& hello() const { return hello_; }
  const std::string& nonce() const { return nonce_; }
  std::string greeting() const;
  bool has_said_hello() const { return said_hello_; }
  // It is attached to the controller; what it says from now on is for that.
  void Admitted();
  // What may pass is for the warden to try again; the rest ends the job there.
  void Refuse(const Error& error);
  void Sealed(const Result<std::string>& credential);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone() override;

 private:
  // With the mutex held: writes the next message, or ends the stream if it is to end.
  void Go();
  void End(grpc::Status status);

  grpc::CallbackServerContext& context_;  // until OnDone
  Controller& controller_;
  Host& host_;
  const std::string nonce_;
  v1::FromWarden incoming_;
  v1::Hello hello_;  // does not change after it has been said
  std::atomic<bool> said_hello_ = false;
  bool attached_ = false;

  std::mutex mutex_;
  std::shared_ptr<WardenStream> self_;                     // until OnDone
  std::list<std::shared_ptr<const v1::ToWarden>> outbox_;  // a list is small while it is empty
  bool writing_ = false;                                   // the first of outbox_
  bool sealing_ = false;                                   // the first of outbox_ waits for that
  bool ended_ = false;                                     // nothing more is queued
  bool finished_ = false;
  bool done_ = false;
  grpc::Status status_;
};

}  // namespace holdfast::coordinator
