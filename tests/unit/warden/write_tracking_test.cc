// Real processes write memory in every way there is: what they have written must never be called
// unwritten.
#include "warden/memory/write_tracking.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/aio_abi.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <map>
#include <random>
#include <thread>

#include "base/files.h"
#include "warden/memory/live_memory.h"
#include "warden/memory/unwritten.h"
#include "warden/memory/userfault.h"

namespace holdfast::warden {
namespace {

constexpr uint64_t kPage = 4096;
constexpr size_t kArenaBytes = 16 << 20;
constexpr uint64_t kHuge = 2 << 20;

// A child with an arena of memory that does what it is told between two stops.
class WriteTrackingTest : public ::testing::Test {
 protected:
  using Deed = std::function<void(char* arena)>;

  void SetUp() override {
    if (const Status can = CheckWriteTracking(); !can) GTEST_SKIP() << can.error().message();
    void* const place = ::mmap(nullptr, kArenaBytes + kHuge, PROT_NONE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASSERT_NE(place, MAP_FAILED);
    arena_ =
        reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(place) + kHuge - 1) / kHuge * kHuge);
  }
  void TearDown() override {
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
    }
  }

  // The child does these, and stops before each and after the last.
  void Start(std::vector<Deed> deeds, bool huge = false) {
    Pipe numbers = *MakePipe();
    child_ = ::fork();
    ASSERT_GE(child_, 0);
    if (child_ == 0) {
      void* const arena = ::mmap(arena_, kArenaBytes, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
      ::madvise(arena, kArenaBytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
      for (size_t at = 0; at < kArenaBytes; at += kPage)
        arena_[at] = static_cast<char>(at / kPage | 1);
      const int fd = static_cast<int>(
          ::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY));
      if (::write(numbers.write_end.get(), &fd, sizeof fd) != sizeof fd) ::_exit(1);
      ::raise(SIGSTOP);
      ::close(fd);
      for (const Deed& deed : deeds) {
        ::raise(SIGSTOP);
        deed(arena_);
      }
      ::raise(SIGSTOP);
      ::_exit(0);
    }
    int number = -1;
    ASSERT_EQ(::read(numbers.read_end.get(), &number, sizeof number), ssize_t{sizeof number});
    AwaitStop();
    const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, child_, 0)));
    UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), number, 0)));
    const Status added = tracking_.Add("/proc", child_, std::move(fd));
    ASSERT_TRUE(added) << added.error().message();
    GoOn();
  }
  void AwaitStop() {
    int status = 0;
    ASSERT_EQ(::waitpid(child_, &status, WUNTRACED), child_);
    ASSERT_TRUE(WIFSTOPPED(status)) << status;
  }
  // Until the next stop.
  void GoOn() {
    ::kill(child_, SIGCONT);
    AwaitStop();
  }

  // What it has now, as a save would keep it.
  void Save(uint32_t checkpoint) {
    const auto memory = LiveMemory::Open("/proc", child_);
    ASSERT_TRUE(memory);
    const auto pagemap = memory->Scan();
    ASSERT_TRUE(pagemap);
    saved_.clear();
    for (const AddressRange& range : PagesOf(*pagemap))
      for (uint64_t address = range.begin; address < range.end; address += kPage) {
        std::string& page = saved_[address];
        page.resize(kPage);
        ASSERT_TRUE(memory->Read(address, std::as_writable_bytes(std::span(page))));
      }
    tracking_.Arm(child_, checkpoint, PagesOf(*pagemap));
  }

  // How many saved pages are called unwritten; each must be as it was saved.
  size_t CountUnwritten(uint32_t checkpoint) {
    const auto found = tracking_.Find(child_, checkpoint);
    if (!found) return 0;
    const auto memory = LiveMemory::Open("/proc", child_);
    EXPECT_TRUE(memory);
    size_t count = 0;
    std::string page(kPage, 0);
    for (const AddressRange& range : found->ranges)
      for (uint64_t address = range.begin; memory && address < range.end; address += kPage) {
        const auto saved = saved_.find(address);
        if (saved == saved_.end()) continue;
        EXPECT_TRUE(memory->Read(address, std::as_writable_bytes(std::span(page))));
        EXPECT_EQ(page, saved->second) << "at " << address - reinterpret_cast<uint64_t>(arena_);
        ++count;
      }
    return count;
  }
  bool IsUnwritten(const char* address, uint32_t checkpoint) {
    const auto found = tracking_.Find(child_, checkpoint);
    const auto at = reinterpret_cast<uint64_t>(address);
    return found && std::ranges::any_of(found->ranges, [&](const AddressRange& range) {
             return range.begin <= at && at < range.end;
           });
  }

  long Collapse(uint64_t address) const {
    const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, child_, 0)));
    const iovec page{.iov_base = reinterpret_cast<void*>(address), .iov_len = kHuge};
    return ::syscall(SYS_process_madvise, process.get(), &page, 1, MADV_COLLAPSE, 0);
  }

  char* arena_ = nullptr;
  pid_t child_ = 0;
  WriteTracking tracking_{/*verify=*/false};
  std::map<uint64_t, std::string> saved_;
};

constexpr size_t kArenaPages = kArenaBytes / kPage;

TEST_F(WriteTrackingTest, AWriteIsNoticedAndNothingElse) {
  Start({[](char* arena) { arena[5 * kPage] = 77; }});
  Save(1);
  EXPECT_GE(CountUnwritten(1), kArenaPages);
  GoOn();
  EXPECT_FALSE(IsUnwritten(arena_ + 5 * kPage, 1));
  EXPECT_TRUE(IsUnwritten(arena_ + 4 * kPage, 1));
  EXPECT_GE(CountUnwritten(1), kArenaPages - 1);
}

TEST_F(WriteTrackingTest, NothingIsKnownOfAnotherCheckpoint) {
  Start({[](char*) {}});
  EXPECT_FALSE(tracking_.Find(child_, 0));
  Save(7);
  EXPECT_TRUE(tracking_.Find(child_, 7));
  EXPECT_FALSE(tracking_.Find(child_, 6));
  EXPECT_FALSE(tracking_.Find(child_, 0));
  EXPECT_FALSE(tracking_.Find(::getpid(), 7));
}

TEST_F(WriteTrackingTest, ReadingIsNotWriting) {
  Start({[](char* arena) {
    volatile char sum = 0;
    for (size_t at = 0; at < kArenaBytes; at += kPage) sum = sum + arena[at];
    ::mprotect(arena, kArenaBytes, PROT_READ);
    ::mprotect(arena, kArenaBytes, PROT_READ | PROT_WRITE);
  }});
  Save(1);
  GoOn();
  EXPECT_GE(CountUnwritten(1), kArenaPages);
}

TEST_F(WriteTrackingTest, TheKernelsWritesCountToo) {
  Start({[](char* arena) {
    const int random = ::open("/dev/urandom", O_RDONLY);
    if (::read(random, arena + kPage, 3 * kPage) != 3 * kPage) ::_exit(1);
    const int memory = ::open("/proc/self/mem", O_RDWR);
    if (::pwrite(memory, "x", 1, reinterpret_cast<off_t>(arena + 10 * kPage)) != 1) ::_exit(1);
  }});
  Save(1);
  GoOn();
  for (const size_t page : {1, 2, 3, 10})
    EXPECT_FALSE(IsUnwritten(arena_ + page * kPage, 1)) << page;
  EXPECT_TRUE(IsUnwritten(arena_ + 4 * kPage, 1));
  CountUnwritten(1);
}

TEST_F(WriteTrackingTest, SoDoOtherProcesses) {
  Start({[](char*) {}});
  Save(1);
  char byte = 99;
  const iovec from{.iov_base = &byte, .iov_len = 1};
  const iovec to{.iov_base = arena_ + 8 * kPage, .iov_len = 1};
  ASSERT_EQ(::process_vm_writev(child_, &from, 1, &to, 1, 0), 1);
  EXPECT_FALSE(IsUnwritten(arena_ + 8 * kPage, 1));
  EXPECT_GE(CountUnwritten(1), kArenaPages - 1);
}

TEST_F(WriteTrackingTest, AParentWritesAfterAFork) {
  Start({[](char* arena) {
    if (const pid_t pid = ::fork(); pid == 0) {
      arena[0] = 1;  // its own
      ::_exit(0);
    } else {
      ::waitpid(pid, nullptr, 0);
    }
    arena[3 * kPage] = 98;
  }});
  Save(1);
  GoOn();
  EXPECT_TRUE(IsUnwritten(arena_, 1));
  EXPECT_FALSE(IsUnwritten(arena_ + 3 * kPage, 1));
  CountUnwritten(1);
}

TEST_F(WriteTrackingTest, WhatMovesIsNotTrustedWhereItComesTo) {
  // Nothing is written, and yet the second half has other contents.
  Start({[](char* arena) {
    ::mremap(arena, kArenaBytes / 4, kArenaBytes / 4, MREMAP_MAYMOVE | MREMAP_FIXED,
             arena + kArenaBytes / 2);
  }});
  Save(1);
  GoOn();
  EXPECT_FALSE(IsUnwritten(arena_ + kArenaBytes / 2, 1));
  EXPECT_TRUE(IsUnwritten(arena_ + kArenaBytes - kPage, 1));
  CountUnwritten(1);
  // Nor does it hide what is written there afterwards.
  Save(2);
  EXPECT_TRUE(IsUnwritten(arena_ + kArenaBytes / 2, 2));
}

TEST_F(WriteTrackingTest, WhatIsMappedAnewOrGivenBackIsNotTrusted) {
  Start({[](char* arena) {
    ::madvise(arena, 4 * kPage, MADV_DONTNEED);
    ::mmap(arena + 8 * kPage, 4 * kPage, PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    volatile char sum = 0;
    for (size_t page = 0; page < 16; ++page) sum = sum + arena[page * kPage];
  }});
  Save(1);
  GoOn();
  for (const size_t page : {0, 3, 8, 11})
    EXPECT_FALSE(IsUnwritten(arena_ + page * kPage, 1)) << page;
  EXPECT_TRUE(IsUnwritten(arena_ + 4 * kPage, 1));
  CountUnwritten(1);
}

TEST_F(WriteTrackingTest, AnotherProgramHasNothingOfIt) {
  Start({[](char*) { ::execl("/bin/sh", "sh", "-c", "kill -STOP $$; :", nullptr); }});
  Save(1);
  GoOn();
  EXPECT_EQ(CountUnwritten(1), 0u);
  tracking_.Arm(child_, 2, {});
  EXPECT_FALSE(tracking_.Find(child_, 2));
}

TEST_F(WriteTrackingTest, AMappingThatHasAnotherUserfaultfdIsLeftAlone) {
  const auto at = reinterpret_cast<uint64_t>(arena_);
  const UniqueFd first(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC)));
  const UniqueFd second(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC)));
  ASSERT_TRUE(EnableWriteTracking(first) && EnableWriteTracking(second));
  const AddressRange arena{.begin = at, .end = at + kArenaBytes};
  EXPECT_TRUE(RegisterWrites(first, arena).value_or(false));
  const auto refused = RegisterWrites(second, arena);
  ASSERT_TRUE(refused) << refused.error().message();
  EXPECT_FALSE(*refused);
}

TEST_F(WriteTrackingTest, WhatIsNoUserfaultfdIsRefused) {
  UniqueFd file = *OpenFile("/dev/null", O_RDWR);
  EXPECT_FALSE(tracking_.Add("/proc", ::getpid(), std::move(file)));
}

TEST_F(WriteTrackingTest, NothingIsKnownOfWhoHasAsynchronousIo) {
  Start({[](char*) {
           aio_context_t context = 0;
           if (::syscall(SYS_io_setup, 8, &context) != 0) ::_exit(1);
         },
         [](char*) {}});
  Save(1);
  EXPECT_TRUE(tracking_.Find(child_, 1));
  GoOn();
  Save(2);
  EXPECT_FALSE(tracking_.Find(child_, 2));
}

TEST_F(WriteTrackingTest, HugePagesThatAreWrittenCanBeMadeAgain) {
  if (HugePageRules::OfThisNode().where == HugePageRules::Where::kNever)
    GTEST_SKIP() << "this kernel makes no huge pages";
  const auto write = [](char* arena) { arena[kHuge + 7 * kPage] = 66; };
  Start({write, [](char*) {}, write}, /*huge=*/true);
  Save(1);
  EXPECT_TRUE(tracking_.TakeSplit().empty());
  GoOn();
  EXPECT_FALSE(IsUnwritten(arena_ + kHuge + 7 * kPage, 1));
  EXPECT_TRUE(IsUnwritten(arena_, 1));
  CountUnwritten(1);
  Save(2);
  const auto at = reinterpret_cast<uint64_t>(arena_);
  EXPECT_EQ(tracking_.TakeSplit(), (HugePagePlan{{child_, {at + kHuge}}}));
  // Not protected, so that nothing stands in the way.
  EXPECT_FALSE(IsUnwritten(arena_ + kHuge, 2));
  EXPECT_TRUE(IsUnwritten(arena_ + 2 * kHuge, 2));
  ASSERT_EQ(Collapse(at + kHuge), long{kHuge}) << std::strerror(errno);
  GoOn();
  Save(3);
  EXPECT_TRUE(IsUnwritten(arena_ + kHuge, 3));
  GoOn();
  EXPECT_FALSE(IsUnwritten(arena_ + kHuge + 7 * kPage, 3));
  CountUnwritten(3);
}

// ---- whatever they do ----

// One deed at random, of those that a program may do to its memory.
void DoSomething(char* arena, std::mt19937_64& random) {
  const auto below = [&](uint64_t limit) { return random() % limit; };
  const size_t page = below(kArenaPages);
  const size_t count = std::min<size_t>(1 + below(64), kArenaPages - page);
  char* const at = arena + page * kPage;
  const size_t size = count * kPage;
  const auto write = [&] {
    for (size_t i = 0; i < count; ++i)
      if (below(2) == 0) at[i * kPage + below(kPage)] = static_cast<char>(random());
  };
  switch (below(16)) {
    case 0: {
      const int file = ::open("/dev/urandom", O_RDONLY);
      [[maybe_unused]] const auto n = ::read(file, at, size);
      ::close(file);
      break;
    }
    case 1:
      ::madvise(at, size, MADV_DONTNEED);
      break;
    case 2:
      ::madvise(at, size, MADV_FREE);
      break;
    case 3:
    case 4: {
      const size_t to = below(kArenaPages - count + 1);
      if (to + count <= page || page + count <= to) {
        ::mremap(at, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, arena + to * kPage);
        ::mmap(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
      }
      break;
    }
    case 5:
      ::mmap(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
      break;
    case 6:
      ::mprotect(at, size, PROT_READ);
      if (below(2) == 0) ::mprotect(at, size, PROT_READ | PROT_WRITE);
      break;
    case 7:
      if (const pid_t pid = ::fork(); pid == 0) {
        ::mprotect(at, size, PROT_READ | PROT_WRITE);
        write();
        ::_exit(0);
      } else {
        ::mprotect(at, size, PROT_READ | PROT_WRITE);
        write();  // while the child may still be there
        ::waitpid(pid, nullptr, 0);
      }
      break;
    case 8:
      ::madvise(at, size, below(2) == 0 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
      break;
    case 9:
      ::madvise(arena + below(kArenaBytes / kHuge) * kHuge, kHuge, MADV_COLLAPSE);
      break;
    case 10:
      ::madvise(at, size, MADV_PAGEOUT);
      break;
    case 11: {
      std::thread thread([&] {
        ::mprotect(at, size, PROT_READ | PROT_WRITE);
        write();
      });
      thread.join();
      break;
    }
    case 12:
      ::madvise(at, size, MADV_POPULATE_WRITE);
      break;
    case 13: {
      const int memory = ::open("/proc/self/mem", O_RDWR);
      const auto byte = static_cast<char>(random());
      [[maybe_unused]] const auto n =
          ::pwrite(memory, &byte, 1, reinterpret_cast<off_t>(at + below(size)));
      ::close(memory);
      break;
    }
    default:
      ::mprotect(at, size, PROT_READ | PROT_WRITE);
      write();
  }
}

TEST_F(WriteTrackingTest, WhateverIsDoneNothingThatHasChangedIsCalledUnwritten) {
  constexpr int kRounds = 40;
  std::vector<Deed> deeds;
  for (int round = 0; round < kRounds; ++round)
    deeds.emplace_back([round](char* arena) {
      std::mt19937_64 random(static_cast<uint64_t>(round));
      for (int i = 0; i < 60; ++i) DoSomething(arena, random);
    });
  Start(std::move(deeds), /*huge=*/true);
  size_t unwritten = 0;
  for (uint32_t checkpoint = 1; checkpoint <= kRounds; ++checkpoint) {
    Save(checkpoint);
    GoOn();
    unwritten += CountUnwritten(checkpoint);
    ASSERT_FALSE(HasFailure()) << "round " << checkpoint - 1;
  }
  // And it is of use.
  EXPECT_GT(unwritten, kRounds * kArenaPages / 4);
}

}  // namespace
}  // namespace holdfast::warden
