#include "coordinator/warden_stream.h"

#include <fmt/format.h>

#include <utility>

#include "base/log.h"
#include "protocol/munge.h"

namespace holdfast::coordinator {
namespace {

grpc::Status ToGrpc(const Error& error) {
  return {error.code() == Code::kDenied ? grpc::StatusCode::PERMISSION_DENIED
                                        : grpc::StatusCode::UNAVAILABLE,
          error.message()};
}

bool LacksCredential(const v1::ToWarden& message) {
  return message.has_welcome() && message.welcome().credential().empty();
}

}  // namespace

WardenStream::WardenStream(grpc::CallbackServerContext& context, Controller& controller, Host& host)
    : context_(context), controller_(controller), host_(host), nonce_(protocol::MakeNonce()) {}

void WardenStream::Begin() {
  const auto challenge = std::make_shared<v1::ToWarden>();
  challenge->mutable_challenge()->set_nonce(nonce_);
  {
    const std::lock_guard lock(mutex_);
    self_ = shared_from_this();
  }
  StartRead(&incoming_);
  Send(challenge);
}

void WardenStream::Send(std::shared_ptr<const v1::ToWarden> message) {
  const std::lock_guard lock(mutex_);
  if (ended_) return;
  outbox_.push_back(std::move(message));
  Go();
}

void WardenStream::Close() {
  const std::lock_guard lock(mutex_);
  if (!done_) context_.TryCancel();
}

std::string WardenStream::greeting() const {
  return fmt::format("holdfast-coordinator {} {}", hello_.job_id(), hello_.nonce());
}

void WardenStream::Go() {
  if (writing_ || sealing_ || finished_) return;
  if (outbox_.empty()) {
    if (!ended_) return;
    finished_ = true;
    Finish(status_);
  } else if (LacksCredential(*outbox_.front())) {
    sealing_ = true;
    host_.Seal(self_);
  } else {
    writing_ = true;
    StartWrite(outbox_.front().get());
  }
}

void WardenStream::End(grpc::Status status) {
  const std::lock_guard lock(mutex_);
  if (ended_) return;
  ended_ = true;
  status_ = std::move(status);
  Go();
}

void WardenStream::Admitted() {
  // The controller has taken them; there are thousands of these.
  hello_.clear_saved();
  hello_.clear_damaged();
  hello_.clear_prepared();
  hello_.clear_credential();
  attached_ = true;
  StartRead(&incoming_);
}

void WardenStream::Refuse(const Error& error) {
  log::Failure("refused", error,
               {{"job", hello_.job_id()}, {"pod", hello_.pod()}, {"node", hello_.node()}});
  const Code code = error.code();
  if (code == Code::kDenied || code == Code::kConflict || code == Code::kInvalid) {
    const auto refuse = std::make_shared<v1::ToWarden>();
    refuse->mutable_refuse()->set_message(error.message());
    Send(refuse);
  }
  End(ToGrpc(error));
}

void WardenStream::Sealed(const Result<std::string>& credential) {
  if (!credential) {
    log::Failure("welcome", credential.error());
    Close();
  }
  const std::lock_guard lock(mutex_);
  sealing_ = false;
  if (credential && !outbox_.empty()) {
    // Other pods have the same Welcome.
    const auto sealed = std::make_shared<v1::ToWarden>(*outbox_.front());
    sealed->mutable_welcome()->set_credential(*credential);
    outbox_.front() = sealed;
  } else {
    outbox_.clear();
  }
  Go();
}

void WardenStream::OnReadDone(bool ok) {
  if (attached_ && ok) {
    controller_.Receive(hello_, this, incoming_);
    return StartRead(&incoming_);
  }
  if (attached_) {
    controller_.Detach(hello_, this);
    return End(grpc::Status::OK);
  }
  if (!ok || !incoming_.has_hello())
    return End({grpc::StatusCode::INVALID_ARGUMENT, "a Hello is expected first"});
  hello_ = std::move(*incoming_.mutable_hello());
  said_hello_ = true;
  host_.Admit(shared_from_this());
}

void WardenStream::OnWriteDone(bool ok) {
  const std::lock_guard lock(mutex_);
  writing_ = false;
  if (ok) {
    outbox_.pop_front();
  } else {
    // The stream is broken, and the read that is under way says so.
    outbox_.clear();
    context_.TryCancel();
  }
  Go();
}

void WardenStream::OnDone() {
  std::shared_ptr<WardenStream> self;  // released after the mutex
  const std::lock_guard lock(mutex_);
  done_ = true;
  ended_ = true;
  outbox_.clear();
  self = std::move(self_);
}

}  // namespace holdfast::coordinator
