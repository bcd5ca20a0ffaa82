#include "base/descriptor_passing.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "base/process.h"

namespace holdfast {
namespace {

class DescriptorPassingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    here_.Reset(ends[0]);
    there_.Reset(ends[1]);
  }
  UniqueFd here_, there_;
  std::array<std::byte, 8> buffer_{};
};

TEST_F(DescriptorPassingTest, WhatArrivesIsTheSameFile) {
  auto pipe = MakePipe();
  ASSERT_TRUE(pipe);
  const std::array data{std::byte{'H'}, std::byte{'i'}};
  ASSERT_TRUE(SendWithDescriptor(here_, data, pipe->write_end));
  const auto received = ReceiveWithDescriptor(there_, buffer_);
  ASSERT_TRUE(received);
  EXPECT_EQ(received->size_bytes, 2U);
  EXPECT_EQ(buffer_[1], std::byte{'i'});
  ASSERT_EQ(::write(received->descriptor.get(), "x", 1), 1);
  char byte = 0;
  EXPECT_EQ(::read(pipe->read_end.get(), &byte, 1), 1);
  EXPECT_EQ(byte, 'x');
}

TEST_F(DescriptorPassingTest, AMessageMayComeWithoutOne) {
  ASSERT_EQ(::send(here_.get(), "a", 1, 0), 1);
  const auto received = ReceiveWithDescriptor(there_, buffer_);
  ASSERT_TRUE(received);
  EXPECT_EQ(received->size_bytes, 1U);
  EXPECT_FALSE(received->descriptor.valid());
}

TEST_F(DescriptorPassingTest, APeerThatIsGoneSendsNothing) {
  here_.Reset();
  const auto received = ReceiveWithDescriptor(there_, buffer_);
  ASSERT_TRUE(received);
  EXPECT_EQ(received->size_bytes, 0U);
}

}  // namespace
}  // namespace holdfast
