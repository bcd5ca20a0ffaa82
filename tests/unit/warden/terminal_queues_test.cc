// Real terminals: putting back needs CAP_SYS_ADMIN.
#include "warden/criu/terminal_queues.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace holdfast::warden {
namespace {

class TerminalsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root, to put back";
    Open();
  }

  void Open() {
    int master = -1, slave = -1;
    ASSERT_EQ(::openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
    master_.Reset(master);
    slave_.Reset(slave);
    ::fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK);
    ::fcntl(slave, F_SETFL, O_RDWR | O_NONBLOCK);
  }

  static std::string Full(const UniqueFd& fd, const std::string& piece) {
    std::string all;
    for (int refused = 0; refused < 20;) {
      const ssize_t size = ::write(fd.get(), piece.data(), piece.size());
      if (size > 0) {
        all += piece.substr(0, static_cast<size_t>(size));
      } else {
        ::usleep(2000);
        ++refused;
      }
    }
    return all;
  }

  static std::vector<std::string> Reads(const UniqueFd& fd) {
    std::vector<std::string> reads;
    char buffer[65536];
    ssize_t size;
    while ((size = ::read(fd.get(), buffer, sizeof buffer)) >= 0) {
      reads.emplace_back(buffer, static_cast<size_t>(size));
      if (reads.size() > 10000) break;
    }
    return reads;
  }
  static std::string Joined(const UniqueFd& fd) {
    std::string all;
    for (const std::string& part : Reads(fd)) all += part;
    return all;
  }

  // Takes what is queued, and puts it into this terminal or, if it moves, into a new one with the
  // same modes.
  terminals::Terminal TakeAndPut(bool moves) {
    termios modes = {};
    EXPECT_EQ(::tcgetattr(slave_.get(), &modes), 0);
    terminals::Terminal terminal;
    const Status taken = TakeQueues(master_, slave_, terminal);
    EXPECT_TRUE(taken) << taken.error().message();
    if (moves) {
      Open();
      EXPECT_EQ(::tcsetattr(slave_.get(), TCSANOW, &modes), 0);
    }
    const Status put = PutQueues(master_, slave_, terminal);
    EXPECT_TRUE(put) << put.error().message();
    termios after = {};
    EXPECT_EQ(::tcgetattr(slave_.get(), &after), 0);
    EXPECT_EQ(std::memcmp(&modes, &after, sizeof after), 0);
    return terminal;
  }

  UniqueFd master_, slave_;
};

TEST_F(TerminalsTest, OutputIsNotProcessedTwice) {
  for (const bool moves : {false, true}) {
    ASSERT_EQ(::write(slave_.get(), "one\ntwo\n", 8), 8);
    TakeAndPut(moves);
    ASSERT_EQ(::write(slave_.get(), "three\n", 6), 6);
    EXPECT_EQ(Joined(master_), "one\r\ntwo\r\nthree\r\n");
  }
}

TEST_F(TerminalsTest, AFullQueueFits) {
  // Pieces of all sizes: how much fits depends on them.
  for (const size_t size : {1, 7, 100, 255, 256, 257, 1000, 1792, 2048, 5000}) {
    Open();
    termios modes = {};
    ::tcgetattr(slave_.get(), &modes);
    ::cfmakeraw(&modes);
    ::tcsetattr(slave_.get(), TCSANOW, &modes);
    std::string piece;
    for (size_t i = 0; i < size; ++i) piece += static_cast<char>('a' + i % 26);
    std::string output = Full(slave_, piece), input = Full(master_, piece);
    EXPECT_GT(output.size(), 8000u);
    for (int i = 0; i < 3; ++i) {
      TakeAndPut(false);
      // There may be room now, because it was put back in other pieces.
      output += Full(slave_, piece);
      input += Full(master_, piece);
    }
    TakeAndPut(true);
    EXPECT_TRUE(Joined(master_) == output) << size << ": " << output.size();
    EXPECT_TRUE(Joined(slave_) == input) << size << ": " << input.size();
  }
}

TEST_F(TerminalsTest, LinesStayLines) {
  const std::string typed = "first\n\4end\4second\nbegun";
  ASSERT_EQ(::write(master_.get(), typed.data(), typed.size()), static_cast<ssize_t>(typed.size()));
  ::usleep(50000);
  TakeAndPut(false);
  TakeAndPut(true);
  // Each read once; the end of file, which stands alone, is a read of nothing.
  EXPECT_THAT(Reads(slave_), ::testing::ElementsAre("first\n", "", "end", "second\n"));
  // Echoed when they were typed, and not again.
  EXPECT_EQ(Joined(master_), "first\r\nendsecond\r\nbegun");
  ASSERT_EQ(::write(master_.get(), "\x7f\x7f!\n", 4), 4);
  ::usleep(50000);
  EXPECT_THAT(Reads(slave_), ::testing::ElementsAre("beg!\n"));
}

TEST_F(TerminalsTest, InputWithEveryKey) {
  termios modes = {};
  ::tcgetattr(slave_.get(), &modes);
  termios raw = modes;
  ::cfmakeraw(&raw);
  ::tcsetattr(slave_.get(), TCSANOW, &raw);
  std::string typed;
  for (int c = 0; c < 256; ++c) typed += static_cast<char>(c);
  ASSERT_EQ(::write(master_.get(), typed.data(), typed.size()), 256);
  ::usleep(50000);
  // Taken and put by one who has cooked it since, but for the lines.
  modes.c_lflag &= ~static_cast<tcflag_t>(ICANON);
  ::tcsetattr(slave_.get(), TCSANOW, &modes);
  TakeAndPut(false);
  TakeAndPut(true);
  EXPECT_EQ(Joined(slave_), typed);
  EXPECT_EQ(Joined(master_), "");
}

TEST_F(TerminalsTest, InPacketMode) {
  int on = 1;
  ASSERT_EQ(::ioctl(master_.get(), TIOCPKT, &on), 0);
  ASSERT_EQ(::write(slave_.get(), "out\n", 4), 4);
  ASSERT_EQ(::write(master_.get(), "in\n", 3), 3);
  ::usleep(50000);
  TakeAndPut(false);
  int packets = 0;
  ASSERT_EQ(::ioctl(master_.get(), TIOCGPKT, &packets), 0);
  EXPECT_EQ(packets, 1);
  EXPECT_THAT(Reads(master_), ::testing::ElementsAre(std::string("\0out\r\nin\r\n", 10)));
  EXPECT_EQ(Joined(slave_), "in\n");
}

TEST_F(TerminalsTest, NothingIsNothing) {
  TakeAndPut(false);
  EXPECT_THAT(Reads(master_), ::testing::IsEmpty());
  EXPECT_THAT(Reads(slave_), ::testing::IsEmpty());
}

TEST_F(TerminalsTest, DescriptorsKeepTheirFlags) {
  ::fcntl(master_.get(), F_SETFL, O_RDWR);
  ASSERT_EQ(::write(slave_.get(), "x", 1), 1);
  terminals::Terminal terminal;
  ASSERT_TRUE(TakeQueues(master_, slave_, terminal));
  EXPECT_EQ(terminal.output(), "x");
  EXPECT_EQ(::fcntl(master_.get(), F_GETFL) & O_NONBLOCK, 0);
}

}  // namespace
}  // namespace holdfast::warden
