#include "storage/bounded_backend.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace holdfast::storage {
namespace {

using std::chrono::steady_clock;
using Time = steady_clock::time_point;

// How soon a limit that is set while a call waits is noticed.
constexpr std::chrono::milliseconds kAttention{200};

// A thread that does one thing after the other for whoever holds it. If it is given up while it is
// busy, it ends when it can. It holds nothing but what it was given.
class Lane {
 public:
  Lane() : state_(std::make_shared<State>()) {
    std::thread([state = state_] { Run(*state); }).detach();
  }
  ~Lane() {
    const std::lock_guard lock(state_->mutex);
    state_->given_up = true;
    state_->changed.notify_all();
  }

  void Begin(std::function<void()> task) {
    const std::lock_guard lock(state_->mutex);
    state_->task = std::move(task);
    state_->busy = true;
    state_->changed.notify_all();
  }
  // Until it is done, and what it was given is gone. False: not before `limit`, which may be set
  // meanwhile.
  bool Wait(const std::atomic<Time>& limit) {
    std::unique_lock lock(state_->mutex);
    while (state_->busy) {
      if (steady_clock::now() >= limit.load()) return false;
      state_->changed.wait_for(lock, kAttention);
    }
    return true;
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::function<void()> task;
    bool busy = false;
    bool given_up = false;
  };

  static void Run(State& state) {
    // Whoever had it made may have been gentle to the job (warden/loop/precopy.cc).
    ::setpriority(PRIO_PROCESS, 0, ::getpriority(PRIO_PROCESS, static_cast<id_t>(::getpid())));
    std::unique_lock lock(state.mutex);
    while (true) {
      state.changed.wait(lock, [&] { return state.busy || state.given_up; });
      if (!state.busy) return;
      std::function<void()> task = std::exchange(state.task, nullptr);
      lock.unlock();
      task();
      task = nullptr;
      lock.lock();
      state.busy = false;
      state.changed.notify_all();
    }
  }

  const std::shared_ptr<State> state_;
};

// What the back end, its writers and its readers have in common.
class Calls {
 public:
  explicit Calls(std::shared_ptr<Backend> backend) : backend_(std::move(backend)) {}

  Backend& backend() const { return *backend_; }
  void SetLimit(Time limit) { limit_ = limit; }

  // `call` is to hold all that it needs: it may outlive its caller. With `anyway` it is begun even
  // if there is no time to wait for it.
  template <typename R>
  R Do(const std::string& what, std::function<R(Backend&)> call, bool anyway = false) {
    const auto late = [&] {
      return Fail(Code::kTimeout, what + ": the file system does not answer");
    };
    if (!anyway && steady_clock::now() >= limit_.load()) return late();
    auto result = std::make_shared<std::optional<R>>();
    std::unique_ptr<Lane> lane = Take();
    lane->Begin([backend = backend_, call = std::move(call), result]() mutable {
      result->emplace(call(*backend));
      call = nullptr;
    });
    if (!lane->Wait(limit_)) return late();  // and the lane is given up
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(lane));
    return std::move(**result);
  }

 private:
  std::unique_ptr<Lane> Take() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return std::make_unique<Lane>();
    std::unique_ptr<Lane> lane = std::move(idle_.back());
    idle_.pop_back();
    return lane;
  }

  const std::shared_ptr<Backend> backend_;
  std::atomic<Time> limit_ = Time::max();
  std::mutex mutex_;
  std::vector<std::unique_ptr<Lane>> idle_;
};

class BoundedWriter : public ObjectWriter {
 public:
  BoundedWriter(Calls& calls, std::shared_ptr<ObjectWriter> writer, std::string path)
      : calls_(calls), writer_(std::move(writer)), path_(std::move(path)) {}
  ~BoundedWriter() override {
    if (!writer_) return;
    // Removing what is unfinished may hang, too.
    std::ignore = calls_.Do<Status>(
        "dropping " + path_,
        [held = std::move(writer_)](Backend&) mutable {
          held.reset();
          return Status();
        },
        /*anyway=*/true);
  }

  Status Append(std::span<const std::byte> data) override {
    buffer_->assign(data.begin(), data.end());
    return Do([buffer = buffer_](ObjectWriter& writer) { return writer.Append(*buffer); });
  }
  Status Finish() override {
    return Do([](ObjectWriter& writer) { return writer.Finish(); });
  }

 private:
  Status Do(std::function<Status(ObjectWriter&)> call) {
    if (!writer_) return Fail(Code::kTimeout, "writing " + path_ + ": it was given up");
    Status done = calls_.Do<Status>("writing " + path_, [held = writer_, call = std::move(call)](
                                                            Backend&) { return call(*held); });
    // It is that call's, which may come back at any time.
    if (!done && done.error().code() == Code::kTimeout) writer_.reset();
    return done;
  }

  Calls& calls_;
  std::shared_ptr<ObjectWriter> writer_;
  const std::string path_;
  // Used again and again; but what a call that did not come back has is never touched again.
  const std::shared_ptr<std::vector<std::byte>> buffer_ =
      std::make_shared<std::vector<std::byte>>();
};

class BoundedReader : public ObjectReader {
 public:
  BoundedReader(Calls& calls, std::shared_ptr<ObjectReader> reader, std::string path)
      : calls_(calls), reader_(std::move(reader)), path_(std::move(path)) {}

  uint64_t size_bytes() const override { return reader_->size_bytes(); }
  Status ReadAt(uint64_t offset, std::span<std::byte> out) const override {
    auto copy = std::make_shared<std::vector<std::byte>>(out.size());
    HOLDFAST_CHECK(calls_.Do<Status>(
        "reading " + path_,
        [reader = reader_, copy, offset](Backend&) { return reader->ReadAt(offset, *copy); }));
    std::ranges::copy(*copy, out.begin());
    return {};
  }

 private:
  Calls& calls_;
  const std::shared_ptr<ObjectReader> reader_;
  const std::string path_;
};

class BoundedBackend : public Backend {
 public:
  explicit BoundedBackend(std::shared_ptr<Backend> backend) : calls_(std::move(backend)) {}

  void SetLimit(Time limit) override { calls_.SetLimit(limit); }
  void SetDeadline(Time deadline) override { calls_.backend().SetDeadline(deadline); }
  const Capabilities& capabilities() const override { return calls_.backend().capabilities(); }
  std::string Describe(std::string_view key) const override {
    return calls_.backend().Describe(key);
  }

  Status Prepare() override {
    return calls_.Do<Status>("preparing " + Describe(""),
                             [](Backend& backend) { return backend.Prepare(); });
  }
  Result<std::unique_ptr<ObjectWriter>> Create(const std::string& key) override {
    using Created = Result<std::unique_ptr<ObjectWriter>>;
    HOLDFAST_TRY(auto writer, calls_.Do<Created>("creating " + Describe(key),
                                                 [key](Backend& b) { return b.Create(key); }));
    return std::make_unique<BoundedWriter>(calls_, std::move(writer), Describe(key));
  }
  Result<std::unique_ptr<ObjectReader>> Open(const std::string& key) override {
    using Opened = Result<std::unique_ptr<ObjectReader>>;
    HOLDFAST_TRY(auto reader, calls_.Do<Opened>("reading " + Describe(key),
                                                [key](Backend& b) { return b.Open(key); }));
    return std::make_unique<BoundedReader>(calls_, std::move(reader), Describe(key));
  }
  Status PutIfAbsent(const std::string& key, std::span<const std::byte> contents) override {
    auto copy = std::make_shared<std::vector<std::byte>>(contents.begin(), contents.end());
    return calls_.Do<Status>("writing " + Describe(key),
                             [key, copy](Backend& b) { return b.PutIfAbsent(key, *copy); });
  }
  Result<std::vector<ObjectInfo>> List(const std::string& prefix) override {
    using Listed = Result<std::vector<ObjectInfo>>;
    return calls_.Do<Listed>("listing " + Describe(prefix),
                             [prefix](Backend& b) { return b.List(prefix); });
  }
  Result<std::vector<std::string>> Beside(const std::string& prefix) override {
    using Listed = Result<std::vector<std::string>>;
    return calls_.Do<Listed>("listing what is beside " + Describe(""),
                             [prefix](Backend& b) { return b.Beside(prefix); });
  }
  Status Delete(const std::string& key) override {
    return calls_.Do<Status>("removing " + Describe(key),
                             [key](Backend& b) { return b.Delete(key); });
  }
  Status RemoveIfEmpty() override {
    return calls_.Do<Status>("removing " + Describe(""),
                             [](Backend& b) { return b.RemoveIfEmpty(); });
  }

 private:
  Calls calls_;
};

}  // namespace

std::unique_ptr<Backend> MakeBoundedBackend(std::shared_ptr<Backend> backend) {
  return std::make_unique<BoundedBackend>(std::move(backend));
}

}  // namespace holdfast::storage
