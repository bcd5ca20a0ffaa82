#include "warden/memory/frozen_memory.h"

#include <gmock/gmock.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "pagemap_entry.h"

namespace holdfast::warden {
namespace {

using storage::kExtentBytes;

constexpr uint64_t kPage = 4096;

std::vector<MemoryPiece> CutMemory(const Pagemap& pagemap) {
  MemoryCutter cutter(pagemap);
  std::vector<MemoryPiece> pieces;
  uint64_t size_bytes = 0;
  while (auto piece = cutter.Next()) {
    size_bytes += piece->size_bytes;
    pieces.push_back(*std::move(piece));
  }
  EXPECT_EQ(cutter.size_bytes(), size_bytes);
  EXPECT_FALSE(cutter.Next());
  return pieces;
}

TEST(MemoryCutter, CutsAtAddressesNotAtOffsets) {
  // Starts one page before a boundary, so the first piece is one page long.
  const auto pieces = CutMemory(
      {.entries = {Entry(kExtentBytes - kPage, 1 + 2 * kExtentBytes / kPage, kPageLazy)}});
  ASSERT_EQ(pieces.size(), 3u);
  EXPECT_EQ(pieces[0].size_bytes, kPage);
  EXPECT_EQ(pieces[1].stream_offset, kPage);
  EXPECT_EQ(pieces[1].size_bytes, kExtentBytes);
  EXPECT_EQ(pieces[2].stream_offset, kPage + kExtentBytes);
  EXPECT_EQ(pieces[2].runs[0].address, 2 * kExtentBytes);
}

TEST(MemoryCutter, JoinsScatteredPagesOfOneWindow) {
  const auto pieces = CutMemory({.entries = {Entry(kExtentBytes + 0 * kPage, 1, kPageLazy),
                                             Entry(kExtentBytes + 4 * kPage, 2, kPagePresent),
                                             Entry(kExtentBytes + 9 * kPage, 1, kPageLazy),
                                             Entry(kExtentBytes + 20 * kPage, 1, kPagePresent)}});
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_EQ(pieces[0].size_bytes, 5 * kPage);
  ASSERT_EQ(pieces[0].runs.size(), 4u);
  EXPECT_TRUE(pieces[0].runs[0].lazy);
  EXPECT_FALSE(pieces[0].runs[1].lazy);
  // CRIU's file holds only the present ones.
  EXPECT_EQ(pieces[0].runs[1].file_offset, 0u);
  EXPECT_EQ(pieces[0].runs[3].file_offset, 2 * kPage);
}

TEST(MemoryCutter, PageThatIsBothIsTakenFromTheFile) {
  const auto pieces = CutMemory({.entries = {Entry(0, 1, kPageLazy | kPagePresent)}});
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_FALSE(pieces[0].runs[0].lazy);
}

TEST(MemoryCutter, Nothing) {
  EXPECT_TRUE(CutMemory({}).empty());
  EXPECT_TRUE(CutMemory({.entries = {Entry(0, 5, 0)}}).empty());
}

class FrozenProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    memory_ = static_cast<char*>(
        ::mmap(nullptr, 3 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    ASSERT_NE(memory_, MAP_FAILED);
    std::memset(memory_, 'a', 3 * kPage);
  }
  void TearDown() override { ::munmap(memory_, 3 * kPage); }
  std::string Read(uint64_t size) {
    std::string out(size, '\0');
    const Status status =
        FrozenProcess::Open(::getpid())
            ->Read(reinterpret_cast<uint64_t>(memory_), std::as_writable_bytes(std::span(out)));
    return status ? out : status.error().message();
  }
  char* memory_ = nullptr;
};

TEST_F(FrozenProcessTest, ReadsAll) { EXPECT_EQ(Read(3 * kPage), std::string(3 * kPage, 'a')); }

TEST_F(FrozenProcessTest, ReadsWhatTheProcessItselfMayNot) {
  ASSERT_EQ(::mprotect(memory_ + kPage, kPage, PROT_NONE), 0);
  EXPECT_EQ(Read(3 * kPage), std::string(3 * kPage, 'a'));
}

TEST_F(FrozenProcessTest, SaysWhatIsNotThere) {
  ASSERT_EQ(::munmap(memory_ + kPage, kPage), 0);
  EXPECT_THAT(Read(3 * kPage), ::testing::HasSubstr("reading memory of process"));
}

// A child with that id, or any, that does nothing; -1 if there can be none.
pid_t StartChild(pid_t id) {
  clone_args arguments{.exit_signal = SIGCHLD};
  if (id > 0) {
    arguments.set_tid = reinterpret_cast<uint64_t>(&id);
    arguments.set_tid_size = 1;
  }
  const auto child = static_cast<pid_t>(::syscall(SYS_clone3, &arguments, sizeof arguments));
  while (child == 0) ::pause();
  return child;
}

void End(pid_t child) {
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}

TEST_F(FrozenProcessTest, AnotherProcessWithItsIdIsNotTakenForIt) {
  const pid_t child = StartChild(0);
  ASSERT_GT(child, 0);
  const auto process = FrozenProcess::Open(child);
  std::string out(kPage, '\0');
  const auto read = [&] {
    return process->Read(reinterpret_cast<uint64_t>(memory_),
                         std::as_writable_bytes(std::span(out)));
  };
  EXPECT_TRUE(read());
  End(child);
  const pid_t other = StartChild(child);
  if (other < 0) GTEST_SKIP() << "choosing an id takes CAP_CHECKPOINT_RESTORE";
  EXPECT_EQ(other, child);
  const Status status = read();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), Code::kUnavailable);
  End(other);
}

}  // namespace
}  // namespace holdfast::warden
