// Real CRIU restores real processes, whose memory comes while they run: needs root and CRIU.
#include "warden/memory/lazy_memory.h"

#include <atomic>

#include "criu_fixture.h"
#include "warden/memory/huge_pages.h"
#include "warden/memory/userfault.h"

namespace holdfast::warden {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;

class LazyMemoryTest : public CriuTest {
 protected:
  void SetUp() override {
    CriuTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    if (const Status usable = CheckUserfaultfd(); !usable) GTEST_SKIP() << usable.error().message();
    memory_comes_ = MemoryComes::kLater;
  }

  // Reads of memory take so long, each.
  void Slow(milliseconds pause) {
    on_read_ = [pause](const std::string&, uint64_t) -> Status {
      std::this_thread::sleep_for(pause);
      return {};
    };
  }

  // A Python program with 64 MiB, every page of which holds its number; then `rest`, once /tmp/go
  // exists. `first`: before it says that it is ready.
  void StartPages(const std::string& rest, const std::string& first = "") {
    do {
      StartPagesOnce(rest, first);
    } while (!HasFatalFailure() && StackAtPageEdge());
  }

  void Go() {
    const auto root = OpenPodRoot(*pod_);
    const auto tmp = OpenInPod(*root, "/tmp", O_PATH | O_DIRECTORY);
    ASSERT_TRUE(OpenAt(*tmp, "go", O_WRONLY | O_CREAT));
  }

  bool AllIn(milliseconds patience) {
    return memory_->Wait(LazyMemory::Clock::now() + patience).has_value();
  }

 private:
  // CRIU takes every page for one of the stack if a stack pointer is a multiple of the page size
  // (is_stack in criu/mem.c), as it is after one start in 256: then it saves all of them itself,
  // and none is lazy.
  bool StackAtPageEdge() const {
    const pid_t outer = pod_->OuterPid(pod_->root_pid()).value_or(-1);
    std::string words;
    // "230 0x0 0x0 ... SP PC", once it sleeps.
    do {
      words = ReadFile("/proc/" + std::to_string(outer) + "/syscall").value_or("");
    } while (words.starts_with("running"));
    const size_t pc = words.rfind(' ');
    return pc != std::string::npos && words.substr(0, pc).ends_with("000");
  }

  void StartPagesOnce(const std::string& rest, const std::string& first) {
    MakePod();
    StartRoot(R"(exec python3 -c '
import ctypes, mmap, os, signal, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = libc.mremap.restype = ctypes.c_void_p
PAGE, COUNT = 4096, 16384
def new(pages):
    return libc.mmap(None, ctypes.c_size_t(pages * PAGE), 3, 0x22, -1, 0)
base = new(COUNT)
for i in range(COUNT):
    ctypes.c_uint64.from_address(base + i * PAGE + 8).value = i + 1
def check(first, count, at, what):
    for i in range(count):
        value = ctypes.c_uint64.from_address(at + i * PAGE + 8).value
        assert value == (first + i + 1 if first >= 0 else 0), (what, i, value)
def call(function, *arguments):
    result = function(*[ctypes.c_void_p(argument) for argument in arguments])
    assert result not in (None, -1), os.strerror(ctypes.get_errno())
    return result
)" + first + R"(
print("ready", flush=True)
while not os.path.exists("/tmp/go"): time.sleep(0.01)
print("running", flush=True)
)" + rest + R"(
print("all is well", flush=True)
time.sleep(1000)')");
    ASSERT_TRUE(Sees("/tmp/out", "ready")) << ReadInPod("/tmp/out");
  }
};

TEST_F(LazyMemoryTest, ProcessesRunBeforeTheirMemoryIsThere) {
  StartPages("check(0, COUNT, base, 1)");
  Slow(milliseconds(30));
  Move();
  ASSERT_NE(memory_, nullptr);
  Go();
  ASSERT_TRUE(Sees("/tmp/out", "running"));
  EXPECT_FALSE(AllIn(milliseconds(0)));
  EXPECT_EQ(memory_->failure(), std::nullopt);
  EXPECT_TRUE(Sees("/tmp/out", "all is well")) << ReadInPod("/tmp/out");
  EXPECT_TRUE(AllIn(seconds(30)));
  EXPECT_THAT(events_, HasSubstr("pages-in"));
}

TEST_F(LazyMemoryTest, AllComesWithoutBeingAskedFor) {
  StartPages("check(0, COUNT, base, 1)");
  Move();
  ASSERT_NE(memory_, nullptr);
  ASSERT_TRUE(AllIn(seconds(30)));
  // Nothing is left to serve.
  memory_.reset();
  Go();
  EXPECT_TRUE(Sees("/tmp/out", "all is well")) << ReadInPod("/tmp/out");
}

TEST_F(LazyMemoryTest, OrAllComesBeforeTheyRun) {
  memory_comes_ = MemoryComes::kFirst;
  StartPages("check(0, COUNT, base, 1)");
  std::atomic<bool> running = false;
  on_read_ = [&](const std::string& name, uint64_t) -> Status {
    if (running) return Fail(Code::kInternal, name + " is read too late");
    return {};
  };
  Move();
  running = true;
  ASSERT_NE(memory_, nullptr);
  EXPECT_TRUE(AllIn(milliseconds(0)));
  EXPECT_THAT(events_, HasSubstr("pages-in"));
  Go();
  EXPECT_TRUE(Sees("/tmp/out", "all is well")) << ReadInPod("/tmp/out");
}

TEST_F(LazyMemoryTest, DamageFoundFirstFailsTheRestore) {
  memory_comes_ = MemoryComes::kFirst;
  StartPages("check(0, COUNT, base, 1)");
  {
    const auto frozen = Save();
    ASSERT_TRUE(frozen) << frozen.error().message();
    ASSERT_TRUE(pod_->Kill());
  }
  MakePod();
  std::atomic<int> reads = 0;
  on_read_ = [&](const std::string& name, uint64_t) -> Status {
    if (++reads > 100) return Fail(Code::kCorrupt, name + " is not what was written");
    return {};
  };
  const auto held = Restore();
  ASSERT_FALSE(held);
  EXPECT_EQ(held.error().code(), Code::kCorrupt);
  EXPECT_THAT(held.error().message(), HasSubstr("is not what was written"));
  EXPECT_FALSE(pod_->OuterPid(static_cast<pid_t>(checkpoint_.info.root_pid)));
}

TEST_F(LazyMemoryTest, MappingsMayChangeMeanwhile) {
  StartPages(R"(
quarter = COUNT // 4
q = [base + i * quarter * PAGE for i in range(4)]
moved = call(libc.mremap, q[1], quarter * PAGE, quarter * PAGE * 2, 1)        # may move, grows
check(quarter, quarter, moved, "moved")
check(-1, 10, moved + quarter * PAGE, "grown")
call(libc.mprotect, q[0] + 100 * PAGE, 7 * PAGE, 1)                          # splits the mapping
call(libc.madvise, q[0] + 20 * PAGE, 30 * PAGE, 4)                           # MADV_DONTNEED
call(libc.munmap, q[2] + 8 * PAGE, (quarter - 8) * PAGE)
child = os.fork()
if child == 0:
    call(libc.munmap, moved, quarter * PAGE)
    check(0, 20, q[0], "child"); check(-1, 30, q[0] + 20 * PAGE, "child zero")
    check(50, quarter - 50, q[0] + 50 * PAGE, "child rest")
    ctypes.c_uint64.from_address(q[3] + 8).value = 42
    grandchild = os.fork()
    check(3 * quarter + 1, quarter - 1, q[3] + PAGE, "descendants")
    if grandchild == 0: os._exit(3)
    assert os.waitpid(grandchild, 0)[1] == 3 << 8
    os._exit(5)
check(0, 20, q[0], "before"); check(-1, 30, q[0] + 20 * PAGE, "zero")
check(50, quarter - 50, q[0] + 50 * PAGE, "after")
check(2 * quarter, 8, q[2], "unmapped"); check(3 * quarter, quarter, q[3], "rest")
check(quarter, quarter, moved, "moved")
assert os.waitpid(child, 0)[1] == 5 << 8, "child"
)");
  Slow(milliseconds(10));
  Move();
  ASSERT_NE(memory_, nullptr);
  Go();
  EXPECT_TRUE(Sees("/tmp/out", "all is well", 60)) << ReadInPod("/tmp/out");
  EXPECT_TRUE(AllIn(seconds(60)));
  EXPECT_EQ(memory_->failure(), std::nullopt);
}

TEST_F(LazyMemoryTest, ThreadsMayForkAndExecuteMeanwhile) {
  StartPages(R"(
import subprocess, threading
def run():
    for i in range(10): assert subprocess.run(["/bin/true"]).returncode == 0
threads = [threading.Thread(target=run) for i in range(3)]
[thread.start() for thread in threads]
check(0, COUNT, base, 1)
[thread.join() for thread in threads]
)");
  Slow(milliseconds(5));
  Move();
  ASSERT_NE(memory_, nullptr);
  Go();
  EXPECT_TRUE(Sees("/tmp/out", "all is well", 60)) << ReadInPod("/tmp/out");
  EXPECT_TRUE(AllIn(seconds(30)));
}

TEST_F(LazyMemoryTest, ProcessesThatShareMemoryStillDo) {
  MakePod();
  StartRoot(R"(exec python3 -c '
import os, time
data = bytearray(os.urandom(64 << 20))
if os.fork() == 0:
    while True: time.sleep(1000)
print("ready", flush=True)
time.sleep(1000)')");
  ASSERT_TRUE(Sees("/tmp/out", "ready")) << ReadInPod("/tmp/out");
  Move();
  if (memory_) {
    ASSERT_TRUE(AllIn(seconds(30)));
  }
  const auto outer = pod_->OuterPid(pod_->root_pid());
  ASSERT_TRUE(outer);
  const auto rollup = ReadFile("/proc/" + std::to_string(*outer) + "/smaps_rollup");
  ASSERT_TRUE(rollup);
  const auto kib = [&](const std::string& key) {
    return std::strtoul(rollup->c_str() + rollup->find("\n" + key + ":") + key.size() + 2, nullptr,
                        10);
  };
  EXPECT_GT(kib("Rss"), 64UL << 10);
  // Half of what two processes share is counted to each.
  EXPECT_LT(kib("Pss"), 50UL << 10);
}

TEST_F(LazyMemoryTest, HugePagesAreMadeAgain) {
  if (HugePageRules::OfThisNode().where == HugePageRules::Where::kNever)
    GTEST_SKIP() << "this node makes no transparent huge pages";
  StartPages(R"(
def huge():
    lines = [line.split() for line in open("/proc/self/smaps_rollup")]
    return [int(line[1]) for line in lines if line[0] == "AnonHugePages:"][0]
patience = time.time() + 20
while huge() < 60 << 10 and time.time() < patience: time.sleep(0.01)
assert huge() >= 60 << 10, huge()
check(0, COUNT, base, 1)
)",
             "call(libc.madvise, base, COUNT * PAGE, 14)  # MADV_HUGEPAGE");
  Move();
  ASSERT_NE(memory_, nullptr);
  Go();
  EXPECT_TRUE(Sees("/tmp/out", "all is well", 30)) << ReadInPod("/tmp/out");
  memory_.reset();  // waits until it has told
  EXPECT_THAT(events_, HasSubstr("huge-pages"));
}

TEST_F(LazyMemoryTest, DamageFoundLateKillsThePod) {
  StartPages("check(0, COUNT, base, 1)");
  std::atomic<bool> damaged = false;
  on_read_ = [&](const std::string& name, uint64_t) -> Status {
    std::this_thread::sleep_for(milliseconds(20));
    if (damaged) return Fail(Code::kCorrupt, name + " is not what was written");
    return {};
  };
  Move();
  ASSERT_NE(memory_, nullptr);
  damaged = true;
  Go();
  const Status in = memory_->Wait(LazyMemory::Clock::now() + seconds(30));
  ASSERT_FALSE(in);
  EXPECT_EQ(in.error().code(), Code::kCorrupt);
  EXPECT_THAT(in.error().message(), HasSubstr("is not what was written"));
  ASSERT_TRUE(memory_->failure());
  pollfd polled{.fd = pod_->exit_fd().get(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(::poll(&polled, 1, 10000), 1);
  const auto status = pod_->TakeExit();
  ASSERT_TRUE(status);
  EXPECT_EQ(status->signal, SIGKILL);
  EndPod();
}

TEST_F(LazyMemoryTest, NobodySeesZerosWhenTheSourceFails) {
  // Output goes where it outlives the pod.
  StartPages("sys.stdout = open(\"" + user_directory() +
             "/result\", \"w\", buffering=1)\ncheck(0, COUNT, base, 1)\nprint(\"end\")");
  std::atomic<bool> away = false;
  on_read_ = [&](const std::string&, uint64_t) -> Status {
    std::this_thread::sleep_for(milliseconds(20));
    if (away) return Fail(Code::kUnavailable, "the store is away");
    return {};
  };
  Move();
  ASSERT_NE(memory_, nullptr);
  Go();
  EXPECT_TRUE(Sees("/tmp/out", "running"));
  away = true;
  EXPECT_FALSE(AllIn(seconds(30)));
  ASSERT_TRUE(pod_->Kill());
  EXPECT_THAT(ReadFile(user_directory() + "/result").value_or(""), Not(HasSubstr("end")));
  EXPECT_EQ(memory_->failure()->code(), Code::kUnavailable);
  EndPod();
}

TEST_F(LazyMemoryTest, TheJobMayEndMeanwhile) {
  StartPages("os._exit(9)");
  Slow(milliseconds(50));
  Move();
  ASSERT_NE(memory_, nullptr);
  Go();
  pollfd polled{.fd = pod_->exit_fd().get(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(::poll(&polled, 1, 20000), 1);
  const auto status = pod_->TakeExit();
  ASSERT_TRUE(status);
  EXPECT_EQ(status->code, 9);
  EXPECT_EQ(memory_->failure(), std::nullopt);
}

TEST_F(LazyMemoryTest, AHeldPodFillsButDoesNotRun) {
  StartPages("check(0, COUNT, base, 1)");
  {
    const auto frozen = Save();
    ASSERT_TRUE(frozen) << frozen.error().message();
    ASSERT_TRUE(pod_->Kill());
  }
  MakePod();
  auto held = Restore();
  ASSERT_TRUE(held) << held.error().message();
  // The socket for memory lies where only root gets.
  struct stat info = {};
  ASSERT_EQ(::stat((directory_ + "/work").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700u);
  EXPECT_EQ(info.st_uid, 0u);
  memory_ = (*held)->TakeMemory();
  ASSERT_NE(memory_, nullptr);
  EXPECT_TRUE(AllIn(seconds(30)));
  EXPECT_THAT(ReadInPod("/tmp/out"), Not(HasSubstr("running")));
  ASSERT_TRUE((*held)->Resume());
  Go();
  EXPECT_TRUE(Sees("/tmp/out", "all is well")) << ReadInPod("/tmp/out");
}

TEST_F(LazyMemoryTest, IsSavedAgainOnceAllIsThere) {
  StartPages("check(0, COUNT, base, 1)");
  for (int i = 0; i < 2; ++i) {
    Move();
    ASSERT_NE(memory_, nullptr);
    ASSERT_TRUE(AllIn(seconds(30)));
  }
  Go();
  EXPECT_TRUE(Sees("/tmp/out", "all is well")) << ReadInPod("/tmp/out");
}

}  // namespace
}  // namespace holdfast::warden
