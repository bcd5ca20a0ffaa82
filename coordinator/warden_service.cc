#include "coordinator/warden_service.h"

#include <absl/synchronization/mutex.h>
#include <fmt/format.h>

#include <chrono>

namespace holdfast::coordinator {
namespace {

// The largest message lists the parts of all pods: 100 bytes each, thousands of pods.
constexpr int kMaxMessageBytes = 4 << 20;
// A node that died without a word is noticed after their sum. Wardens ping every five seconds
// (their channel.cc), and whatever comes from one puts the coordinator's own ping off: so it pings
// only who has fallen silent, and ten thousand wardens cost half of what they would.
constexpr int kKeepaliveMs = 6000;
constexpr int kKeepaliveTimeoutMs = 4000;
constexpr int kStrangersMs = 10'000;

}  // namespace

Status WardenService::Listen(const std::string& address) {
  // Debian builds Abseil with its checks: each of gRPC's locks would be looked up in one graph of
  // all locks, under one lock.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port_);
  builder.RegisterService(this);
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // What is said is short: no need to measure with pings how much of it the way would hold.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  // Wardens ping too; gRPC would call that abuse.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1000);
  // Who connects and says nothing costs a descriptor, for as long as this; wardens attach at once.
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kStrangersMs);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kStrangersMs);
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

grpc::ServerBidiReactor<v1::FromWarden, v1::ToWarden>* WardenService::Attach(
    grpc::CallbackServerContext* context) {
  const auto stream = std::make_shared<WardenStream>(*context, controller_, admission_);
  admission_.Expect(stream);
  stream->Begin();
  return stream.get();  // it keeps itself
}

}  // namespace holdfast::coordinator
