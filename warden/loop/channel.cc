#include "warden/loop/channel.h"

#include <fmt/format.h>
#include <pwd.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "protocol/munge.h"

namespace holdfast::warden {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kFirstBackoff{500};
constexpr milliseconds kLastBackoff{5000};
// A coordinator's node that died without a word is noticed after their sum. The coordinator has the
// same for wardens, so that after a failure of the network both sides know at about the same time.
constexpr int kKeepaliveMs = 5000;
constexpr int kKeepaliveTimeoutMs = 5000;
constexpr size_t kMaxEventsKept = 256;

class MungeAuthenticator final : public Authenticator {
 public:
  explicit MungeAuthenticator(uid_t coordinator) : coordinator_(coordinator) {}
  Result<std::string> Seal(const std::string& payload) override { return protocol::Seal(payload); }
  Status VerifyCoordinator(const std::string& credential, const std::string& payload) override {
    return protocol::Verify(credential, coordinator_, payload);
  }

 private:
  uid_t coordinator_;
};

std::unique_ptr<v1::Coordinator::Stub> MakeStub(const std::string& target) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kFirstBackoff.count());
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kFirstBackoff.count());
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kLastBackoff.count());
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return v1::Coordinator::NewStub(
      grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments));
}

}  // namespace

Result<std::unique_ptr<Authenticator>> MakeMungeAuthenticator(const std::string& user) {
  std::vector<char> buffer(16384);
  passwd entry = {};
  passwd* found = nullptr;
  const int error = ::getpwnam_r(user.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (error != 0)
    return std::unexpected(Error::FromErrno("looking up the coordinator's user " + user, error));
  if (found == nullptr)
    return Fail(Code::kInvalid,
                fmt::format("this node does not know the coordinator's user {}: create it, or set "
                            "coordinator.user",
                            user));
  return std::make_unique<MungeAuthenticator>(entry.pw_uid);
}

Result<std::unique_ptr<Channel>> Channel::Open(const ChannelOptions& options,
                                               std::unique_ptr<Authenticator> authenticator) {
  UniqueFd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd.valid()) return FailErrno("eventfd");
  return std::unique_ptr<Channel>(new Channel(options, std::move(authenticator), std::move(fd)));
}

Channel::Channel(const ChannelOptions& options, std::unique_ptr<Authenticator> authenticator,
                 UniqueFd incoming_fd)
    : options_(options),
      authenticator_(std::move(authenticator)),
      incoming_fd_(std::move(incoming_fd)),
      stub_(MakeStub(options.target)),
      thread_([this](const std::stop_token& stop) { Loop(stop); }) {}

Channel::~Channel() {
  thread_.request_stop();
  const std::lock_guard lock(mutex_);
  if (context_ != nullptr) context_->TryCancel();
}

void Channel::SetHello(v1::Hello hello) {
  const std::lock_guard lock(mutex_);
  if (!reopened_) return;
  hello_ = std::move(hello);
  changed_.notify_all();
}

void Channel::Reopen() {
  const std::lock_guard lock(mutex_);
  reopened_ = true;
}

bool Channel::WithdrawHello() {
  const std::lock_guard lock(mutex_);
  hello_.reset();
  return !greeted_;
}

void Channel::Send(v1::FromWarden message) {
  const std::lock_guard lock(mutex_);
  if (!greeted_) {
    if (!message.has_event()) return;
    if (outgoing_.size() >= kMaxEventsKept) outgoing_.pop_front();
  }
  outgoing_.push_back(std::move(message));
  changed_.notify_all();
}

bool Channel::attached() const {
  const std::lock_guard lock(mutex_);
  return attached_;
}

std::optional<steady_clock::time_point> Channel::away_since() const {
  const std::lock_guard lock(mutex_);
  if (attached_) return std::nullopt;
  return away_since_;
}

std::vector<Incoming> Channel::Take() {
  const std::lock_guard lock(mutex_);
  eventfd_t count;
  ::eventfd_read(incoming_fd_.get(), &count);
  return std::exchange(incoming_, {});
}

void Channel::Post(Incoming incoming) {
  incoming_.push_back(std::move(incoming));
  ::eventfd_write(incoming_fd_.get(), 1);
}

void Channel::Loop(const std::stop_token& stop) {
  milliseconds backoff = kFirstBackoff;
  while (!stop.stop_requested()) {
    backoff = Converse(stop) ? kFirstBackoff : std::min(backoff * 2, kLastBackoff);
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, stop, backoff, [] { return false; });
  }
}

bool Channel::Converse(const std::stop_token& stop) {
  grpc::ClientContext context;
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, stop, [this] { return hello_.has_value(); });
    if (stop.stop_requested()) return false;
    context_ = &context;
  }
  const std::unique_ptr<Stream> stream = stub_->Attach(&context);
  const Status introduced = Introduce(*stream);
  if (introduced) {
    log::Info("attached", {{"coordinator", options_.target}});
    const std::jthread writer([&](const std::stop_token& done) { Write(done, *stream); });
    for (v1::ToWarden message; stream->Read(&message);) {
      const std::lock_guard lock(mutex_);
      Post({.message = std::move(message)});
    }
  } else {
    context.TryCancel();
  }
  const grpc::Status status = stream->Finish();
  if (introduced)
    log::Warn("coordinator-lost", {{"why", status.error_message()}});
  else
    log::Failure("attach", introduced.error(), {{"why", status.error_message()}});

  const std::lock_guard lock(mutex_);
  context_ = nullptr;
  // Not when a Hello was turned away: one coordinator after the other could do so for ever.
  if (std::exchange(attached_, false)) away_since_ = steady_clock::now();
  std::erase_if(outgoing_, [](const v1::FromWarden& message) { return !message.has_event(); });
  if (std::exchange(greeted_, false)) Post({.lost = true});
  if (!introduced) NoteDenial(status);
  return introduced.has_value();
}

Status Channel::Introduce(Stream& stream) {
  const auto broken = [](const char* step) {
    return Fail(Code::kUnavailable,
                std::string("the coordinator closed the stream before its ") + step);
  };
  v1::ToWarden message;
  if (!stream.Read(&message) || !message.has_challenge()) return broken("challenge");

  v1::FromWarden greeting;
  v1::Hello& hello = *greeting.mutable_hello();
  {
    const std::lock_guard lock(mutex_);
    if (!hello_) return Fail(Code::kCancelled, "the pod's state has changed");
    hello = *std::exchange(hello_, std::nullopt);
    greeted_ = true;
    reopened_ = false;
  }
  hello.set_nonce(protocol::MakeNonce());
  HOLDFAST_TRY(*hello.mutable_credential(),
               authenticator_->Seal(fmt::format("holdfast-warden {} {} {} {}", hello.job_id(),
                                                hello.restart_count(), hello.pod(),
                                                message.challenge().nonce())));
  if (!stream.Write(greeting)) return broken("welcome");

  if (!stream.Read(&message) || !message.has_welcome()) return broken("welcome");
  HOLDFAST_CHECK(authenticator_->VerifyCoordinator(
      message.welcome().credential(),
      fmt::format("holdfast-coordinator {} {}", hello.job_id(), hello.nonce())));
  const std::lock_guard lock(mutex_);
  attached_ = ever_attached_ = true;
  denied_since_.reset();
  Post({.message = std::move(message)});
  return {};
}

void Channel::Write(const std::stop_token& stop, Stream& stream) {
  std::unique_lock lock(mutex_);
  while (changed_.wait(lock, stop, [this] { return !outgoing_.empty(); })) {
    const v1::FromWarden message = std::move(outgoing_.front());
    outgoing_.pop_front();
    lock.unlock();
    const bool written = stream.Write(message);
    lock.lock();
    if (!written) return;  // the reader sees it too
  }
}

// With the lock held.
void Channel::NoteDenial(const grpc::Status& status) {
  if (ever_attached_ || status.error_code() != grpc::StatusCode::PERMISSION_DENIED) {
    denied_since_.reset();
    return;
  }
  const auto now = steady_clock::now();
  if (!denied_since_) denied_since_ = now;
  if (now - *denied_since_ < options_.denial_limit) return;
  Incoming refusal;
  refusal.message.mutable_refuse()->set_message("the coordinator does not let this node in: " +
                                                status.error_message());
  Post(std::move(refusal));
}

}  // namespace holdfast::warden
