#include "coordinator/rest_gate.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <functional>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "base/numbers.h"

namespace holdfast::coordinator {
namespace {

using std::chrono::steady_clock;

thread_local RestGate::Exchange* exchange_of_thread = nullptr;

constexpr std::string_view kEndOfHead = "\r\n\r\n";

int MillisecondsUntil(steady_clock::time_point time) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(time - steady_clock::now()).count();
  return static_cast<int>(std::max<int64_t>(left, 0));
}

// Of the body, as the head says; nothing if it is not a number.
std::optional<size_t> BodyBytes(std::string head) {
  std::ranges::transform(head, head.begin(), [](unsigned char c) { return std::tolower(c); });
  constexpr std::string_view kName = "\r\ncontent-length:";
  const size_t at = head.find(kName);
  if (at == std::string::npos) return 0;
  std::string_view value = std::string_view(head).substr(at + kName.size());
  value = value.substr(0, value.find("\r\n"));
  value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
  return ParseNumber<size_t>(value);
}

// Of the whole request; nothing while its head is not there. `known`: so much has been looked at.
std::optional<size_t> RequestBytes(const std::string& received, size_t known) {
  const size_t head = received.find(kEndOfHead, known - std::min(known, kEndOfHead.size() - 1));
  if (head == std::string::npos) return std::nullopt;
  const size_t begin = head + kEndOfHead.size();
  const auto body = BodyBytes(received.substr(0, head));
  // Without a length that can be, httplib says what is wrong.
  return body && *body <= SIZE_MAX - begin ? begin + *body : begin;
}

// Runs what is asked at once: httplib's accepting thread takes the connection to the gate.
class AtOnce final : public httplib::TaskQueue {
 public:
  explicit AtOnce(std::function<void()> stop) : stop_(std::move(stop)) {}
  bool enqueue(std::function<void()> task) override {
    task();
    return true;
  }
  void shutdown() override { stop_(); }

 private:
  const std::function<void()> stop_;
};

}  // namespace

// A request that is there, and the way back.
class RestGate::Stream final : public httplib::Stream {
 public:
  Stream(Connection& connection, std::chrono::milliseconds patience)
      : connection_(connection), patience_(patience) {}

  bool is_readable() const override { return read_ < connection_.received.size(); }
  bool is_writable() const override {
    // From when there is an answer.
    if (!deadline_) deadline_ = steady_clock::now() + patience_;
    pollfd polled{.fd = connection_.channel.fd(), .events = wants_, .revents = 0};
    return ::poll(&polled, 1, MillisecondsUntil(*deadline_)) == 1;
  }
  ssize_t read(char* to, size_t size) override {
    const size_t read = connection_.received.copy(to, size, read_);
    read_ += read;
    return static_cast<ssize_t>(read);
  }
  ssize_t write(const char* from, size_t size) override {
    while (is_writable()) {
      size_t sent = 0;
      const RestChannel::Outcome outcome = connection_.channel.Send(from, size, sent);
      wants_ = outcome == RestChannel::Outcome::kLater ? connection_.channel.events() : POLLOUT;
      if (outcome == RestChannel::Outcome::kClosed) return -1;
      if (outcome == RestChannel::Outcome::kSome) return static_cast<ssize_t>(sent);
    }
    return -1;
  }
  void get_remote_ip_and_port(std::string& ip, int& port) const override {
    ip = connection_.channel.address();
    port = 0;
  }
  void get_local_ip_and_port(std::string& ip, int& port) const override {
    ip.clear();
    port = 0;
  }
  socket_t socket() const override { return connection_.channel.fd(); }

 private:
  Connection& connection_;
  const std::chrono::milliseconds patience_;
  mutable std::optional<Time> deadline_;
  size_t read_ = 0;
  short wants_ = POLLOUT;
};

RestGate::RestGate(const Limits& limits)
    : limits_(limits), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  new_task_queue = [this] {
    Start();
    return new AtOnce([this] { Stop(); });
  };
}

RestGate::~RestGate() { Stop(); }

void RestGate::Start() {
  // httplib has the kernel keep five that have not been accepted.
  ::listen(svr_sock_, static_cast<int>(limits_.waiting));
  gate_ = std::thread([this] { RunGate(); });
  for (size_t i = 0; i < limits_.threads; ++i) workers_.emplace_back([this] { RunWorker(); });
}

void RestGate::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    complete_changed_.notify_all();
  }
  ::eventfd_write(wake_.get(), 1);
  if (gate_.joinable()) gate_.join();
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
}

void RestGate::ServeTls(std::shared_ptr<const RestTls> tls) {
  const std::lock_guard lock(mutex_);
  tls_ = std::move(tls);
}

RestGate::Exchange& RestGate::current() { return *exchange_of_thread; }

size_t RestGate::Waiting() {
  const std::lock_guard lock(mutex_);
  return complete_.size();
}

bool RestGate::process_and_close_socket(socket_t socket) {
  const std::lock_guard lock(mutex_);
  accepted_.push_back({.channel = RestChannel(UniqueFd(socket), tls_),
                       .deadline = steady_clock::now() + limits_.patience,
                       .received = {},
                       .size = {}});
  ::eventfd_write(wake_.get(), 1);
  return true;
}

void RestGate::RunGate() {
  std::vector<pollfd> polled;
  while (true) {
    polled.assign(1, {.fd = wake_.get(), .events = POLLIN, .revents = 0});
    for (const Connection& connection : waiting_)
      polled.push_back(
          {.fd = connection.channel.fd(), .events = connection.channel.events(), .revents = 0});
    ::poll(polled.data(), polled.size(),
           waiting_.empty() ? -1 : MillisecondsUntil(waiting_.front().deadline));
    auto readiness = polled.begin();
    for (auto it = waiting_.begin(); it != waiting_.end();) {
      const bool stays =
          (++readiness)->revents == 0 ? steady_clock::now() < it->deadline : Receive(*it);
      it = stays ? std::next(it) : waiting_.erase(it);
    }
    eventfd_t ignored;
    ::eventfd_read(wake_.get(), &ignored);
    const std::lock_guard lock(mutex_);
    if (stopping_) return waiting_.clear();
    for (Connection& connection : std::exchange(accepted_, {}))
      waiting_.push_back(std::move(connection));
    MakeRoom();
  }
}

bool RestGate::Receive(Connection& connection) {
  // Each byte is looked at once, however small the pieces are that they come in.
  const size_t known = connection.received.size();
  const auto outcome = connection.channel.Receive(connection.received, limits_.request_bytes);
  if (outcome == RestChannel::Outcome::kClosed) return false;
  if (outcome == RestChannel::Outcome::kLater) return true;
  if (!connection.size) connection.size = RequestBytes(connection.received, known);
  if (connection.received.size() < connection.size.value_or(SIZE_MAX) &&
      connection.received.size() < limits_.request_bytes)
    return true;
  const std::lock_guard lock(mutex_);
  complete_.push_back(std::move(connection));
  complete_changed_.notify_one();
  return false;
}

void RestGate::MakeRoom() {
  if (waiting_.size() + complete_.size() <= limits_.waiting) return;
  std::map<std::string, size_t> counts;
  for (const Connection& connection : waiting_) ++counts[connection.channel.address()];
  for (const Connection& connection : complete_) ++counts[connection.channel.address()];
  while (waiting_.size() + complete_.size() > limits_.waiting) {
    const auto most = std::ranges::max_element(counts, {}, [](const auto& c) { return c.second; });
    --most->second;
    const auto is_theirs = [&](const Connection& each) {
      return each.channel.address() == most->first;
    };
    // Before a thread has come to their requests, if the threads are held up.
    if (const auto asked = std::ranges::find_if(complete_, is_theirs); asked != complete_.end())
      complete_.erase(asked);
    else
      waiting_.erase(std::ranges::find_if(waiting_, is_theirs));
  }
}

void RestGate::RunWorker() {
  while (true) {
    std::unique_lock lock(mutex_);
    complete_changed_.wait(lock, [this] { return stopping_ || !complete_.empty(); });
    if (complete_.empty()) return;
    Connection connection = std::move(complete_.front());
    complete_.pop_front();
    lock.unlock();
    Stream stream(connection, limits_.patience);
    Exchange exchange{.channel = connection.channel, .keep = {}};
    exchange_of_thread = &exchange;
    bool closed = false;
    process_request(stream, connection.channel.address(), 0, "", 0, true, closed, nullptr);
    exchange_of_thread = nullptr;
    if (exchange.keep)
      exchange.keep(std::move(connection.channel));
    else
      connection.channel.Close();
  }
}

}  // namespace holdfast::coordinator
