#include "pod/task_link.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>

#include <thread>

namespace holdfast::pod {
namespace {

class TaskLink : public testing::Test {
 protected:
  void SetUp() override {
    auto pair = MakeSocketPair(SOCK_STREAM);
    ASSERT_TRUE(pair);
    left_ = std::move(pair->first);
    right_ = std::move(pair->second);
  }
  void SendRaw(std::string_view bytes) {
    ASSERT_EQ(::send(left_.get(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
  }
  UniqueFd left_, right_;
};

TEST_F(TaskLink, CarriesEveryFrame) {
  ASSERT_TRUE(SendFrame(left_, {.type = FrameType::kLaunch, .launch = std::string("a\0b", 3)}));
  ASSERT_TRUE(SendFrame(
      left_, {.type = FrameType::kSignal, .signal = SIGUSR2, .scope = SignalScope::kGroup}));
  ASSERT_TRUE(
      SendFrame(left_, {.type = FrameType::kEnded, .status = {.code = 3}, .out_of_memory = true}));
  ASSERT_TRUE(SendFrame(left_, {.type = FrameType::kFailed, .message = "no room"}));
  ASSERT_TRUE(SendFrame(left_, {.type = FrameType::kReleased}));
  ASSERT_TRUE(SendFrame(left_, {.type = FrameType::kReleased, .leave = true}));
  ASSERT_TRUE(SendFrame(left_, {.type = FrameType::kDelivered}));
  left_.Reset();

  EXPECT_EQ(ReceiveFrame(right_)->launch, std::string("a\0b", 3));
  const auto signal = ReceiveFrame(right_);
  EXPECT_EQ(signal->signal, SIGUSR2);
  EXPECT_EQ(signal->scope, SignalScope::kGroup);
  const auto ended = ReceiveFrame(right_);
  EXPECT_EQ(ended->status.code, 3);
  EXPECT_TRUE(ended->out_of_memory);
  EXPECT_EQ(ReceiveFrame(right_)->message, "no room");
  EXPECT_FALSE(ReceiveFrame(right_)->leave);
  const auto released = ReceiveFrame(right_);
  EXPECT_EQ(released->type, FrameType::kReleased);
  EXPECT_TRUE(released->leave);
  EXPECT_EQ(ReceiveFrame(right_)->type, FrameType::kDelivered);
  EXPECT_EQ(ReceiveFrame(right_).error().code(), Code::kNotFound);
}

TEST_F(TaskLink, CarriesFramesLongerThanTheSocketHolds) {
  const std::string long_launch(kMaxFrameBytes, 'x');
  std::thread sender(
      [&] { EXPECT_TRUE(SendFrame(left_, {.type = FrameType::kLaunch, .launch = long_launch})); });
  const auto frame = ReceiveFrame(right_);
  sender.join();
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->launch, long_launch);
}

TEST_F(TaskLink, RefusesToSendOrReceiveMoreThanTheBound) {
  EXPECT_FALSE(SendFrame(
      left_, {.type = FrameType::kLaunch, .launch = std::string(kMaxFrameBytes + 1, 'x')}));
  SendRaw(std::string("\xff\xff\xff\xff\x01", 5));
  EXPECT_EQ(ReceiveFrame(right_).error().code(), Code::kInvalid);
}

TEST_F(TaskLink, RefusesMalformedFrames) {
  const std::string_view kBad[] = {
      std::string_view("\0\0\0\0\x09", 5),                       // no such type
      std::string_view("\0\0\0\0\x02", 5),                       // a signal without its number
      std::string_view("\x08\0\0\0\x02\0\0\0\0\0\0\0\0", 13),    // signal 0
      std::string_view("\x08\0\0\0\x02\xff\0\0\0\0\0\0\0", 13),  // signal 255
      std::string_view("\x01\0\0\0\x05x", 6),                    // released has no body
  };
  for (const auto bad : kBad) {
    SendRaw(bad);
    const auto frame = ReceiveFrame(right_);
    ASSERT_FALSE(frame);
    EXPECT_EQ(frame.error().code(), Code::kInvalid);
  }
}

TEST_F(TaskLink, ReportsAFrameThatBreaksOff) {
  SendRaw(std::string_view("\x08\0\0\0\x02\x0a", 6));
  left_.Reset();
  EXPECT_EQ(ReceiveFrame(right_).error().code(), Code::kInvalid);
}

TEST_F(TaskLink, SendingToAClosedPeerFailsQuietly) {
  right_.Reset();
  EXPECT_FALSE(SendFrame(left_, {.type = FrameType::kReleased}));
}

}  // namespace
}  // namespace holdfast::pod
