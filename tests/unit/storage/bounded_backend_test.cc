#include "storage/bounded_backend.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "storage/memory_backend.h"

namespace holdfast::storage {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// A file server that can be away: then no call of its comes back.
class Server {
 public:
  void Go(bool away) {
    const std::lock_guard lock(mutex_);
    away_ = away;
    changed_.notify_all();
  }
  void Answer() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.wait(lock, [this] { return !away_; });
    --waiting_;
    changed_.notify_all();
  }
  void AwaitNobody() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return waiting_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool away_ = false;
  int waiting_ = 0;
};

class HangingWriter : public ObjectWriter {
 public:
  HangingWriter(std::shared_ptr<Server> server, std::unique_ptr<ObjectWriter> writer)
      : server_(std::move(server)), writer_(std::move(writer)) {}
  ~HangingWriter() override { server_->Answer(); }
  Status Append(std::span<const std::byte> data) override {
    server_->Answer();
    return writer_->Append(data);
  }
  Status Finish() override {
    server_->Answer();
    return writer_->Finish();
  }

 private:
  std::shared_ptr<Server> server_;
  std::unique_ptr<ObjectWriter> writer_;
};

class HangingBackend : public MemoryBackend {
 public:
  explicit HangingBackend(std::shared_ptr<Server> server) : server_(std::move(server)) {}
  Result<std::unique_ptr<ObjectWriter>> Create(const std::string& key) override {
    server_->Answer();
    HOLDFAST_TRY(auto writer, MemoryBackend::Create(key));
    return std::make_unique<HangingWriter>(server_, std::move(writer));
  }
  Result<std::vector<ObjectInfo>> List(const std::string& prefix) override {
    server_->Answer();
    return MemoryBackend::List(prefix);
  }

 private:
  std::shared_ptr<Server> server_;
};

class BoundedBackendTest : public testing::Test {
 protected:
  ~BoundedBackendTest() override {
    server_.Go(false);
    server_.AwaitNobody();
  }
  void Limit(milliseconds time) { bounded_->SetLimit(steady_clock::now() + time); }

  // Calls that were given up outlive a test, so what they use does, too.
  const std::shared_ptr<Server> shared_server_ = std::make_shared<Server>();
  Server& server_ = *shared_server_;
  const std::shared_ptr<HangingBackend> backend_ = std::make_shared<HangingBackend>(shared_server_);
  const std::unique_ptr<Backend> bounded_ = MakeBoundedBackend(backend_);
  const std::vector<std::byte> data_ = std::vector<std::byte>(1000);
};

TEST_F(BoundedBackendTest, ACallThatHangsIsGivenUp) {
  server_.Go(true);
  Limit(milliseconds(50));
  const auto listed = bounded_->List("");
  ASSERT_FALSE(listed);
  EXPECT_EQ(listed.error().code(), Code::kTimeout);
  EXPECT_EQ(bounded_->List("").error().code(), Code::kTimeout) << "and none is begun any more";
  server_.Go(false);
  Limit(milliseconds(60'000));
  EXPECT_TRUE(bounded_->List(""));
}

TEST_F(BoundedBackendTest, ALimitThatComesLaterHoldsForACallUnderWay) {
  server_.Go(true);
  std::thread later([&] { Limit(milliseconds(0)); });
  EXPECT_EQ(bounded_->List("").error().code(), Code::kTimeout);
  later.join();
}

TEST_F(BoundedBackendTest, AWriterThatHangsIsOfNoMoreUse) {
  auto writer = bounded_->Create("packs/1");
  ASSERT_TRUE(writer);
  ASSERT_TRUE((*writer)->Append(data_));
  server_.Go(true);
  Limit(milliseconds(50));
  EXPECT_EQ((*writer)->Append(data_).error().code(), Code::kTimeout);
  server_.Go(false);
  server_.AwaitNobody();
  Limit(milliseconds(60'000));
  EXPECT_EQ((*writer)->Finish().error().code(), Code::kTimeout);
  writer->reset();
  EXPECT_FALSE(bounded_->Open("packs/1"));
}

TEST_F(BoundedBackendTest, DroppingAWriterDoesNotHangEither) {
  auto writer = bounded_->Create("packs/1");
  ASSERT_TRUE(writer);
  server_.Go(true);
  Limit(milliseconds(0));
  writer->reset();
}

TEST_F(BoundedBackendTest, WhatIsDroppedIsGoneWhenItReturns) {
  auto writer = bounded_->Create("packs/1");
  ASSERT_TRUE(writer);
  ASSERT_TRUE((*writer)->Append(data_));
  writer->reset();
  EXPECT_TRUE(bounded_->List("")->empty());
}

}  // namespace
}  // namespace holdfast::storage
