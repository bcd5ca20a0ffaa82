#include "coordinator/warden_service.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "base/log.h"
#include "coordinator/admission.h"
#include "protocol/munge.h"

namespace holdfast::coordinator {
namespace {

using Stream = grpc::ServerReaderWriter<v1::ToWarden, v1::FromWarden>;

// The largest message lists the parts of all pods: 100 bytes each, thousands of pods.
constexpr int kMaxMessageBytes = 4 << 20;
constexpr std::chrono::seconds kHelloTimeout{20};
// A node that died without a word is noticed after their sum.
constexpr int kKeepaliveMs = 5000;
constexpr int kKeepaliveTimeoutMs = 5000;

// Writes from a thread of its own, so that a warden that does not read holds up nobody.
class StreamLink final : public WardenLink {
 public:
  StreamLink(grpc::ServerContext& context, Stream& stream, Authenticator& authenticator)
      : context_(context), stream_(stream), authenticator_(authenticator) {
    writer_ = std::thread([this] { Write(); });
  }
  ~StreamLink() override { Join(); }

  void Send(const v1::ToWarden& message) override {
    const std::lock_guard lock(mutex_);
    queue_.push_back(message);
    changed_.notify_one();
  }
  void Close() override { context_.TryCancel(); }

  // The peer has said who it is; `hello` is what a Welcome's credential answers.
  void Greet(const v1::Hello& hello) {
    const std::lock_guard lock(mutex_);
    greeting_ = fmt::format("holdfast-coordinator {} {}", hello.job_id(), hello.nonce());
    changed_.notify_one();
  }

  // Writes what is queued and ends the thread. The stream must live until this returns.
  void Join() {
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
      changed_.notify_one();
    }
    if (writer_.joinable()) writer_.join();
  }

 private:
  void Write() {
    const auto hello_due = std::chrono::steady_clock::now() + kHelloTimeout;
    std::unique_lock lock(mutex_);
    while (true) {
      const auto ready = [this] { return closing_ || !queue_.empty(); };
      if (!greeting_.empty()) {
        changed_.wait(lock, ready);
      } else if (!changed_.wait_until(lock, hello_due,
                                      [&] { return ready() || !greeting_.empty(); })) {
        context_.TryCancel();
        return;
      }
      if (queue_.empty()) {
        if (closing_) return;
        continue;
      }
      v1::ToWarden message = std::move(queue_.front());
      queue_.pop_front();
      const std::string greeting = greeting_;
      lock.unlock();
      if (!Complete(message, greeting) || !stream_.Write(message)) {
        context_.TryCancel();
        return;
      }
      lock.lock();
    }
  }

  bool Complete(v1::ToWarden& message, const std::string& greeting) {
    if (!message.has_welcome()) return true;
    const Result<std::string> credential = authenticator_.Seal(greeting);
    if (!credential) {
      log::Failure("welcome", credential.error());
      return false;
    }
    message.mutable_welcome()->set_credential(*credential);
    return true;
  }

  grpc::ServerContext& context_;
  Stream& stream_;
  Authenticator& authenticator_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<v1::ToWarden> queue_;
  std::string greeting_;
  bool closing_ = false;
  std::thread writer_;
};

grpc::Status ToGrpc(const Error& error) {
  return {error.code() == Code::kDenied ? grpc::StatusCode::PERMISSION_DENIED
                                        : grpc::StatusCode::UNAVAILABLE,
          error.message()};
}

}  // namespace

Status WardenService::Listen(const std::string& address) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port_);
  builder.RegisterService(this);
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // Wardens ping too; gRPC would call that abuse.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1000);
  // One listener only: with SO_REUSEPORT a second coordinator would silently take half of the
  // wardens.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  server_ = builder.BuildAndStart();
  if (!server_ || port_ == 0)
    return Fail(Code::kUnavailable,
                fmt::format("listening for wardens on {}: the address cannot be had; does another "
                            "coordinator run?",
                            address));
  return {};
}

void WardenService::Shutdown() {
  if (server_) server_->Shutdown(std::chrono::system_clock::now());
}

Status WardenService::Admit(const v1::Hello& hello, const std::string& nonce) {
  if (hello.protocol() != protocol::kProtocolVersion)
    return Fail(Code::kDenied,
                fmt::format("the warden on {} speaks protocol {}, the coordinator {}: install the "
                            "same Holdfast on all nodes",
                            hello.node(), hello.protocol(), protocol::kProtocolVersion));
  const std::string purpose = fmt::format("holdfast-warden {} {} {} {}", hello.job_id(),
                                          hello.restart_count(), hello.pod(), nonce);
  HOLDFAST_TRY(const protocol::Credential credential, authenticator_.Unseal(hello.credential()));
  if (credential.uid != 0 || credential.payload != purpose)
    return Fail(Code::kDenied, "the credential is not root's for this stream");
  HOLDFAST_TRY(const Record record, slurm_.Load(hello.job_id()));
  return CheckHello(hello, record);
}

grpc::Status WardenService::Attach(grpc::ServerContext* context, Stream* stream) {
  const auto link = std::make_shared<StreamLink>(*context, *stream, authenticator_);
  const std::string nonce = protocol::MakeNonce();
  v1::ToWarden challenge;
  challenge.mutable_challenge()->set_nonce(nonce);
  link->Send(challenge);
  v1::FromWarden message;
  if (!stream->Read(&message) || !message.has_hello()) {
    link->Join();
    return {grpc::StatusCode::INVALID_ARGUMENT, "a Hello is expected first"};
  }
  const v1::Hello hello = message.hello();
  link->Greet(hello);
  Status admitted = Admit(hello, nonce);
  if (admitted) admitted = controller_.Attach(hello, link);
  if (!admitted) {
    log::Failure("refused", admitted.error(),
                 {{"job", hello.job_id()}, {"pod", hello.pod()}, {"peer", context->peer()}});
    const Code code = admitted.error().code();
    // What may pass is for the warden to try again; the rest ends the job there.
    const bool final = code == Code::kDenied || code == Code::kConflict || code == Code::kInvalid;
    if (final) {
      v1::ToWarden refuse;
      refuse.mutable_refuse()->set_message(admitted.error().message());
      link->Send(refuse);
    }
    link->Join();
    return ToGrpc(admitted.error());
  }
  while (stream->Read(&message)) controller_.Receive(hello, link.get(), message);
  controller_.Detach(hello, link.get());
  link->Join();
  return grpc::Status::OK;
}

}  // namespace holdfast::coordinator
