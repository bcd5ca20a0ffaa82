// What CRIU does not ask of processes, before and after real saves and restores: needs root and
// CRIU.
#include "criu_fixture.h"

namespace holdfast::warden {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Says twice what it has of what `setup` gives it: before it is saved, and when /tmp/tell is there.
constexpr const char* kProgram = R"py(
import ctypes, os, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(number, *arguments):
    result = libc.syscall(number, *[ctypes.c_void_p(a) if isinstance(a, int) else a for a in arguments])
    if result == -1: raise OSError(ctypes.get_errno(), "system call %d" % number)
    return result
one = ctypes.c_ulong(1)
personality, semget, semop, semctl = 135, 64, 65, 66
mbind, set_mempolicy, get_mempolicy = 237, 238, 239
IPC_CREAT, IPC_STAT, GETVAL, SETVAL, UNDO, NOWAIT = 0o1000, 2, 12, 16, 0x1000, 0o4000
def operate(semaphores, *operations):
    data = b"".join(struct.pack("Hhh", *operation) for operation in operations)
    return call(semop, semaphores, ctypes.create_string_buffer(data, len(data)), len(operations))
def policies(area):
    mode, of = ctypes.c_int(-1), ctypes.c_int(-1)
    call(get_mempolicy, ctypes.byref(mode), 0, 0, 0, 0)
    call(get_mempolicy, ctypes.byref(of), 0, 0, area, 2)
    return mode.value, of.value
def main():
    exec(sys.argv[1], globals())
    print("before", tell(), flush=True)
    while not os.path.exists("/tmp/tell"): time.sleep(0.02)
    print("after", tell(), flush=True)
main()
)py";

class UnseenTest : public CriuTest {
 protected:
  void Start(const std::string& setup) {
    MakePod();
    StartRoot(std::string("cat >program.py <<'END'\n") + kProgram +
              "\nEND\ncat >setup.py <<'END'\n" + setup +
              "\nEND\npython3 program.py \"$(cat setup.py)\"; echo end");
    ASSERT_TRUE(Sees("/tmp/out", "before")) << ReadInPod("/tmp/out");
  }
  // What it tells after the word.
  std::string Told(const std::string& word) {
    const std::string out = ReadInPod("/tmp/out");
    const size_t at = out.find(word + " ");
    if (at == out.npos) return out;
    return out.substr(at + word.size() + 1, out.find('\n', at) - at - word.size() - 1);
  }
  void Finish() {
    const auto file = OpenPodRoot(*pod_);
    ASSERT_TRUE(file);
    const auto tmp = OpenInPod(*file, "/tmp", O_RDONLY | O_DIRECTORY);
    ASSERT_TRUE(tmp);
    ASSERT_TRUE(OpenAt(*tmp, "tell", O_CREAT | O_WRONLY, 0644));
    ASSERT_TRUE(Sees("/tmp/out", "end")) << ReadInPod("/tmp/out");
  }
  // Moved twice: what is restored must be seen again, too.
  void ExpectMoved(const std::string& what) {
    EXPECT_THAT(Told("before"), HasSubstr(what));
    Move();
    Move();
    Finish();
    EXPECT_EQ(Told("after"), Told("before"));
  }
};

TEST_F(UnseenTest, PersonalitiesMove) {
  Start(R"py(
call(personality, 0x0440000)
def tell(): return hex(call(personality, 0xffffffff)))py");
  ExpectMoved("0x440000");
}

TEST_F(UnseenTest, PoliciesMove) {
  Start(R"py(
import mmap
area = mmap.mmap(-1, 1 << 16)
address = ctypes.addressof(ctypes.c_char.from_buffer(area))
told = []
def other():
    call(set_mempolicy, 2, ctypes.byref(one), 8)
    while not os.path.exists("/tmp/tell"): time.sleep(0.02)
    told.append(policies(address))
thread = threading.Thread(target=other)
thread.start()
call(mbind, address, 1 << 16, 1, ctypes.byref(one), 8, 0)
call(set_mempolicy, 3, ctypes.byref(one), 8)
def tell():
    if os.path.exists("/tmp/tell"): thread.join()
    return policies(address), told)py");
  EXPECT_EQ(Told("before"), "((3, 1), [])");
  Move();
  Move();
  Finish();
  EXPECT_EQ(Told("after"), "((3, 1), [(2, 1)])");
}

// A child takes, and is killed.
constexpr const char* kUndo = R"py(
import signal
semaphores = call(semget, 0, 6, 0o600)
for number, value in enumerate((5, 9, 0, 32767, 20000, 3)): call(semctl, semaphores, number, SETVAL, value)
child = os.fork()
if child == 0:
    operate(semaphores, (0, -2, UNDO), (1, -4, UNDO), (2, 1, UNDO), (3, -32767, UNDO))
    for i in range(2): operate(semaphores, (4, -10000, UNDO))
    operate(semaphores, (4, 30000, 0), (5, -1, 0))
    while True: time.sleep(1000)
while call(semctl, semaphores, 4, GETVAL) != 30000: time.sleep(0.01)
def values(): return [call(semctl, semaphores, number, GETVAL) for number in range(6)]
def tell():
    held = values()
    state = ctypes.create_string_buffer(256)
    call(semctl, semaphores, 0, IPC_STAT, state)
    used = struct.unpack_from("q", state.raw, 48)[0] != 0
    if os.path.exists("/tmp/tell"):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return held, used, values()
    return held, used)py";

TEST_F(UnseenTest, SemaphoresTakeBackWhatTheyWould) {
  Start(kUndo);
  EXPECT_EQ(Told("before"), "([3, 5, 1, 0, 30000, 2], True)");
  Move();
  Move();
  Finish();
  EXPECT_EQ(Told("after"), "([3, 5, 1, 0, 30000, 2], True, [5, 9, 0, 32767, 32767, 2])");
}

TEST_F(UnseenTest, ASaveLeavesSemaphoresAsTheyAre) {
  Start(kUndo);
  for (int i = 0; i < 3; ++i) {
    const auto frozen = Save();
    ASSERT_TRUE(frozen) << frozen.error().message();
    ASSERT_TRUE((*frozen)->Resume());
  }
  Finish();
  EXPECT_EQ(Told("after"), "([3, 5, 1, 0, 30000, 2], True, [5, 9, 0, 32767, 32767, 2])");
}

TEST_F(UnseenTest, SharedMemoryStaysMarkedForRemoval) {
  Start(R"py(
shmget, shmat, shmctl, IPC_RMID = 29, 30, 31, 0
memory = call(shmget, 0x4c4f4f4c, 8192, IPC_CREAT | 0o640)
address = call(shmat, memory, 0, 0)
ctypes.memmove(address, b"in it", 6)
call(shmctl, memory, IPC_RMID, 0)
def tell(): return open("/proc/sysvipc/shm").read().split()[16:21], ctypes.string_at(address))py");
  EXPECT_THAT(Told("before"), HasSubstr("'1640', '8192'"));
  Move();
  Finish();
  EXPECT_THAT(Told("after"), HasSubstr("'1640', '8192'"));
  EXPECT_THAT(Told("after"), HasSubstr("b'in it'"));
}

// A session without keys is nothing that a move could lose.
constexpr const char* kSession = R"py(
keyctl, add_key = 250, 248
call(keyctl, 1, b"session")
def tell(): return "joined")py";

TEST_F(UnseenTest, ASessionWithoutKeysMoves) {
  Start(kSession);
  ExpectMoved("joined");
}

TEST_F(UnseenTest, KeysOfTheJobsOwnAreRefused) {
  for (const char* keyring : {"-1", "-2", "-3"}) {
    Start(std::string(kSession) + "\ncall(add_key, b'user', b'a:key', b'secret', 6, " + keyring +
          ")");
    const auto frozen = Save();
    ASSERT_FALSE(frozen) << keyring;
    EXPECT_THAT(
        frozen.error().message(),
        HasSubstr("(python3) has keys in a keyring of its own (keyctl(2)), which CRIU cannot"));
    Finish();
  }
}

// In the pod's own /tmp, and in a directory of the job's.
TEST_F(UnseenTest, AFileWithoutANameCanStillGetOne) {
  for (const std::string& directory : {std::string("/tmp"), user_directory()}) {
    Start("directory = '" + directory + R"py('
os.chdir(directory)
flags = os.O_TMPFILE | os.O_RDWR
first, second, never = os.open(".", flags, 0o640), os.open(".", flags, 0o640), os.open(".", flags, 0o600)
again = os.open("/proc/self/fd/%d" % first, os.O_RDONLY)
os.write(first, b"written "); os.write(second, b"second"); os.write(never, b"x" * 3000000)
os.utime(first, ns=(10**18, 10**18 + 5000))
def tell():
    if os.path.exists("/tmp/tell"):
        os.write(second, b" time")
        for fd, name in ((first, "first"), (second, "second")): os.link("/proc/self/fd/%d" % fd, name, src_dir_fd=0)
        return (open("first").read(), open("second").read(), os.stat("first").st_mode, os.stat("first").st_mtime_ns,
                os.pread(again, 99, 0), os.pread(never, 9, 2999991), sorted(n for n in os.listdir(".") if "ghost" in n or "#" in n)))py");
    Move();
    Move();
    Finish();
    EXPECT_EQ(
        Told("after"),
        "('written ', 'second time', 33184, 1000000000000005000, b'written ', b'xxxxxxxxx', [])");
  }
}

TEST_F(UnseenTest, MemoryToComeIsLocked) {
  Start(R"py(
import mmap
call(151, 2)  # mlockall, MCL_FUTURE
areas = []
def tell():
    areas.append(mmap.mmap(-1, 1 << 20))
    address = ctypes.addressof(ctypes.c_char.from_buffer(areas[-1]))
    try: call(26, address, 1 << 20, 2)
    except OSError as error: return error.errno
    return "not locked")py");
  EXPECT_THAT(Told("before"), HasSubstr("16"));  // EBUSY
  Move();
  Finish();
  EXPECT_EQ(Told("after"), Told("before"));
}

TEST_F(UnseenTest, MemoryThatIsLockedPageByPageIsRefused) {
  Start(R"py(
import mmap
area = mmap.mmap(-1, 1 << 20)
call(325, ctypes.addressof(ctypes.c_char.from_buffer(area)), 1 << 20, 1)  # mlock2, MLOCK_ONFAULT
def tell(): return 'nothing')py");
  const auto frozen = Save();
  ASSERT_FALSE(frozen);
  EXPECT_THAT(frozen.error().message(), HasSubstr("locked page by page"));
  Finish();
}

TEST_F(UnseenTest, SlicesMove) {
  Start(R"py(
sched_setattr, sched_getattr = 314, 315
call(sched_setattr, 0, struct.pack("IIQiIQQQ", 48, 3, 1, 4, 0, 20000000, 0, 0), 0)
def tell():
    data = ctypes.create_string_buffer(48)
    call(sched_getattr, 0, data, 48, 0)
    return struct.unpack("IIQiIQQQ", data.raw)[1:6])py");
  ExpectMoved("(3, 1, 4, 0, 20000000)");
}

TEST_F(UnseenTest, ThreadsWithTablesOfTheirOwnAreRefused) {
  for (const char* what : {"0x200", "0x400"}) {  // CLONE_FS, CLONE_FILES
    Start(std::string("what = ") + what + R"py(
unshared = threading.Event()
def leave():
    call(272, what)
    unshared.set()
    while not os.path.exists("/tmp/tell"): time.sleep(0.02)
threading.Thread(target=leave).start()
unshared.wait()
def tell(): return 'nothing')py");
    const auto frozen = Save();
    ASSERT_FALSE(frozen) << what;
    EXPECT_THAT(frozen.error().message(), HasSubstr("of its own (unshare(2)"));
    Finish();
  }
}

TEST_F(UnseenTest, ProcessesWithoutAnyOfItAreLeftAlone) {
  Start("def tell(): return 'nothing'");
  Move();
  EXPECT_EQ(checkpoint_.images.at("attributes"), "");
  Finish();
}

}  // namespace
}  // namespace holdfast::warden
