// Moves real processes from pod to pod: needs root and CRIU.
#include "warden/checkpoint/restore.h"

#include "criu_fixture.h"
#include "warden/criu/images.h"

namespace holdfast::warden {
namespace {

using ::testing::HasSubstr;

class RestoreTest : public CriuTest {
 protected:
  // A pod with a process that appends to the user's file, saved; then a new, empty pod.
  void SaveWriter() {
    MakePod();
    StartRoot("exec 5>>" + output() + "; echo one >&5; while sleep 0.02; do :; done");
    ASSERT_TRUE(SeesOutput("one"));
    ASSERT_TRUE(Save());
    MakePod();
  }
  std::string output() const { return user_directory() + "/output"; }
  bool SeesOutput(const std::string& text) { return Sees(output(), text); }

  // Restoring must fail so.
  void ExpectRefusal(Code code, const std::string& words) {
    const auto held = Restore();
    ASSERT_FALSE(held);
    EXPECT_EQ(held.error().code(), code) << held.error().message();
    EXPECT_THAT(held.error().message(), HasSubstr(words));
    EXPECT_THAT(held.error().message(), HasSubstr("restoring pod 3"));
  }

  // Changes the one record of an image.
  template <class Record>
  void Tamper(const std::string& prefix, const std::function<void(Record&)>& change) {
    for (auto& [name, contents] : checkpoint_.images) {
      if (!name.starts_with(prefix)) continue;
      std::string changed = contents.substr(0, 8);
      for (std::string_view rest = std::string_view(contents).substr(8); !rest.empty();) {
        uint32_t size = 0;
        std::memcpy(&size, rest.data(), sizeof size);
        Record record;
        ASSERT_TRUE(record.ParseFromArray(rest.data() + 4, static_cast<int>(size)));
        rest.remove_prefix(4 + size);
        change(record);
        const std::string bytes = record.SerializeAsString();
        size = static_cast<uint32_t>(bytes.size());
        changed.append(reinterpret_cast<const char*>(&size), sizeof size);
        changed += bytes;
      }
      contents = changed;
    }
  }
};

TEST_F(RestoreTest, ShellTreeWithPipesGoesOn) {
  MakePod();
  StartRoot(R"(
    trap 'echo trapped >> /tmp/log' USR1
    mkfifo go
    (i=0; while sleep 0.05; do i=$((i+1)); echo $i; done) |
      while read n; do echo line $n >> /tmp/log; done &
    echo ready >> /tmp/log
    read word <> go
    echo got $word >> /tmp/log
    kill -USR1 $$
    sleep 1000)");
  ASSERT_TRUE(Sees("/tmp/log", "line 5"));
  Move();
  EXPECT_THAT(ReadInPod("/tmp/log"), HasSubstr("line 5"));
  WriteInPod("/tmp/go", "again\n");
  EXPECT_TRUE(Sees("/tmp/log", "got again"));
  EXPECT_TRUE(Sees("/tmp/log", "trapped"));
}

TEST_F(RestoreTest, DirectoriesOfItsOwnOnTheDiskComeBack) {
  private_paths_ = {"/opt", "/tmp"};
  MakePod();
  StartRoot(R"(mkdir -p /opt/work/sub; cd /opt/work/sub; exec python3 -c '
import fcntl, mmap, os, random, socket, tempfile, time
data = random.Random(1).randbytes(5 << 20)
kept = open("../kept", "wb+"); kept.write(data); kept.flush()
mapped = mmap.mmap(kept.fileno(), 0); mapped[0:5] = b"first"
appended = open("/tmp/appended", "ab"); appended.write(b"one "); appended.flush()
deleted = tempfile.TemporaryFile(dir="/opt/work"); deleted.write(data[:2 << 20]); deleted.flush()
gone = open("gone", "wb+"); os.link("gone", "linked"); os.unlink("gone"); gone.write(b"gone"); gone.flush()
locked = open("/tmp/locked", "w"); fcntl.flock(locked, fcntl.LOCK_EX)
named = socket.socket(socket.AF_UNIX); named.bind("/opt/work/named"); named.listen()
print("ready", flush=True)
for turn in ("check1", "check2"):
    while not os.path.exists("/tmp/" + turn): time.sleep(0.01)
    assert os.getcwd() == "/opt/work/sub", "cwd"
    kept.seek(0); assert kept.read() == bytes(mapped), "kept and mapped are one file"
    assert mapped[5:] == data[5:], "mapped"
    mapped[5:10] = turn[:5].encode(); data = bytes(mapped)
    appended.write(turn.encode()); appended.flush()
    deleted.seek(1 << 20); assert deleted.read() == data[1 << 20:2 << 20], "deleted"
    assert open("linked").read() == "gone", "linked"
    try: fcntl.flock(open("/tmp/locked"), fcntl.LOCK_SH | fcntl.LOCK_NB); assert False, "lock"
    except BlockingIOError: pass
    caller = socket.socket(socket.AF_UNIX); caller.connect("/opt/work/named")
    named.accept()[0].close(); caller.close()  # none is left to be accepted
    print(turn, "is well", sorted(os.listdir("..")), open("/tmp/appended").read(), flush=True)
time.sleep(1000)')");
  ASSERT_TRUE(Sees("/tmp/out", "ready")) << ReadInPod("/tmp/out");
  for (const std::string turn : {"check1", "check2"}) {
    Move();
    const auto root = OpenPodRoot(*pod_);
    ASSERT_TRUE(root);
    const auto tmp = OpenInPod(*root, "/tmp", O_PATH | O_DIRECTORY);
    {
      const ScopedIdentity as_owner(owner_);
      ASSERT_TRUE(tmp && OpenAt(*tmp, turn, O_WRONLY | O_CREAT));
    }
    ASSERT_TRUE(Sees("/tmp/out", turn + " is well ['kept', 'named', 'sub'] one check1"))
        << ReadInPod("/tmp/out");
  }
  EndPod();
  EXPECT_EQ(ListDirectory(directory_ + "/private").value(), std::vector<std::string>{});
}

TEST_F(RestoreTest, MemoryThreadsAndSharedMemoryComeBack) {
  MakePod();
  StartRoot(R"(exec python3 -c '
import hashlib, mmap, os, random, socket, tempfile, threading, time
data = bytearray(random.Random(1).randbytes(64 << 20))          # private memory
digest = hashlib.sha256(data).hexdigest()
fd = os.open("/dev/shm/segment", os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 8 << 20)
shared = mmap.mmap(fd, 8 << 20)                                  # a file in /dev/shm
shared[:] = data[:8 << 20]
anonymous = mmap.mmap(-1, 4 << 20)                               # shared with a child
anonymous[:] = data[:4 << 20]
deleted = tempfile.TemporaryFile(dir="/dev/shm"); deleted.write(data[:2 << 20]); deleted.flush()
private = mmap.mmap(os.open("/proc/self/exe", os.O_RDONLY), 1 << 20, mmap.MAP_PRIVATE,
                    mmap.PROT_READ | mmap.PROT_WRITE)            # written pages of a mapped file
private[:4096] = b"x" * 4096
pair = socket.socketpair(); pair[0].send(b"in flight")
tcp = socket.create_server(("127.0.0.1", 0)); client = socket.create_connection(tcp.getsockname())
peer = tcp.accept()[0]; client.send(b"queued")
named = socket.socket(socket.AF_UNIX); named.bind("/tmp/named"); named.listen()
caller = socket.socket(socket.AF_UNIX); caller.connect("/tmp/named"); callee = named.accept()[0]
local = threading.local(); ticks = [0, 0]; stop = threading.Event()
def tick(i):
    local.i = i
    while not stop.is_set():
        ticks[local.i] += 1
        time.sleep(0.01)
threads = [threading.Thread(target=tick, args=(i,)) for i in range(2)]
child = os.fork()
if child == 0:
    while not os.path.exists("/tmp/check"): time.sleep(0.01)
    anonymous[0:5] = b"child"
    os._exit(7)
for thread in threads: thread.start()
print("ready", flush=True)
while not os.path.exists("/tmp/check"): time.sleep(0.01)
before = list(ticks); time.sleep(0.5)
assert all(b > a for a, b in zip(before, ticks)), "threads do not run"
stop.set(); [thread.join() for thread in threads]
assert os.waitpid(child, 0)[1] == 7 << 8, "child"
assert anonymous[:5] == b"child" and anonymous[5:] == data[5:4 << 20], "anonymous"
assert hashlib.sha256(data).hexdigest() == digest, "private"
assert shared[:] == data[:8 << 20], "shm"
deleted.seek(0); assert deleted.read() == data[:2 << 20], "deleted"
assert private[:4096] == b"x" * 4096 and private[4096:4100] != b"xxxx", "mapped"
assert pair[1].recv(100) == b"in flight", "socket pair"
assert peer.recv(100) == b"queued", "tcp"; peer.send(b"back"); assert client.recv(100) == b"back"
caller.send(b"called"); assert callee.recv(100) == b"called", "named socket"
again = socket.socket(socket.AF_UNIX); again.connect("/tmp/named"); named.accept()
print("all is well pid", os.getpid(), "uid", os.getresuid(), flush=True)
time.sleep(1000)')");
  ASSERT_TRUE(Sees("/tmp/out", "ready")) << ReadInPod("/tmp/out");
  const pid_t pid = pod_->root_pid();
  Move();
  ASSERT_EQ(pod_->root_pid(), pid);
  const auto root = OpenPodRoot(*pod_);
  ASSERT_TRUE(root);
  const auto tmp = OpenInPod(*root, "/tmp", O_PATH | O_DIRECTORY);
  ASSERT_TRUE(OpenAt(*tmp, "check", O_WRONLY | O_CREAT));
  EXPECT_TRUE(
      Sees("/tmp/out", "all is well pid " + std::to_string(pid) + " uid (54321, 54321, 54321)"))
      << ReadInPod("/tmp/out");
}

TEST_F(RestoreTest, WaitsLastAsLongAsTheyWereAskedTo) {
  MakePod();
  StartRoot(R"(exec python3 -c '
import ctypes, threading, time
libc = ctypes.CDLL(None, use_errno=True)
class Timespec(ctypes.Structure): _fields_ = [("sec", ctypes.c_long), ("nsec", ctypes.c_long)]
class Pollfd(ctypes.Structure): _fields_ = [("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short)]
two = Timespec(2, 0)
waits = {
    "sleep": lambda: libc.sleep(2),
    "usleep": lambda: libc.usleep(2000000),
    "nanosleep": lambda: libc.nanosleep(ctypes.byref(two), None),
    "clock_nanosleep": lambda: libc.clock_nanosleep(0, 0, ctypes.byref(two), None),
    "poll": lambda: libc.poll(ctypes.byref(Pollfd(-1, 0, 0)), 1, 2000),
    "futex": lambda: libc.syscall(202, ctypes.byref(ctypes.c_int(5)), 0, 5, ctypes.byref(two), None, 0),
}
results = {}
def run(name):
    begin = time.monotonic()
    returned = waits[name]()
    error = ctypes.get_errno() if returned == -1 else 0
    results[name] = (returned, error, time.monotonic() - begin)
threads = [threading.Thread(target=run, args=(name,)) for name in waits]
for thread in threads: thread.start()
time.sleep(0.3)
print("ready", flush=True)
for thread in threads: thread.join()
for name, (returned, error, took) in sorted(results.items()):
    # What a futex says when its time is up is -1 and ETIMEDOUT.
    ended = (returned, error) == ((-1, 110) if name == "futex" else (0, 0))
    print(name, "right" if ended and took >= 2 else (returned, error, took))
print("done", flush=True)
time.sleep(1000)')");
  ASSERT_TRUE(Sees("/tmp/out", "ready")) << ReadInPod("/tmp/out");
  Move();
  ASSERT_TRUE(Sees("/tmp/out", "done")) << ReadInPod("/tmp/out");
  for (const char* wait : {"sleep", "usleep", "nanosleep", "clock_nanosleep", "poll", "futex"})
    EXPECT_THAT(ReadInPod("/tmp/out"), HasSubstr("\n" + std::string(wait) + " right"));
}

// What Python's multiprocessing uses: a file whose first name, by which it is mapped, is gone.
TEST_F(RestoreTest, NamedSemaphoresAreKept) {
  MakePod();
  StartRoot(R"(cat >/tmp/job.py <<'END'
import ctypes, os, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.sem_open.restype = ctypes.c_void_p
def wait_for(path):
    while not os.path.exists(path): time.sleep(0.01)
if len(sys.argv) > 1:
    other = libc.sem_open(b"/kept", 0)
    libc.sem_post(ctypes.c_void_p(other))
    sys.exit()
sem = ctypes.c_void_p(libc.sem_open(b"/kept", os.O_CREAT, 0o600, 0))
descriptor = os.open("/tmp/first", os.O_RDWR | os.O_CREAT)
os.write(descriptor, b"text"); os.link("/tmp/first", "/tmp/second"); os.unlink("/tmp/first")
names = sorted(os.listdir("/dev/shm")), sorted(os.listdir("/tmp"))
print("ready", flush=True)
wait_for("/tmp/check")
names_now = sorted(os.listdir("/dev/shm")), sorted(n for n in os.listdir("/tmp") if n != "check")
print("names", "same" if names == names_now else (names, names_now), flush=True)
print("held", libc.sem_trywait(sem), flush=True)
subprocess.run([sys.executable, "/tmp/job.py", "post"])
print("posted", libc.sem_trywait(sem), flush=True)
os.pwrite(descriptor, b"TEXT", 0)
print("file", open("/tmp/second").read(), flush=True)
print("link", os.readlink("/proc/self/fd/%d" % descriptor), flush=True)
time.sleep(1000)
END
exec python3 /tmp/job.py)");
  ASSERT_TRUE(Sees("/tmp/out", "ready")) << ReadInPod("/tmp/out");
  Move();
  ASSERT_TRUE(Sees("/tmp/out", "ready"));
  Move();
  const auto root = OpenPodRoot(*pod_);
  const auto tmp = OpenInPod(*root, "/tmp", O_PATH | O_DIRECTORY);
  ASSERT_TRUE(OpenAt(*tmp, "check", O_WRONLY | O_CREAT));
  EXPECT_TRUE(
      Sees("/tmp/out", "names same\nheld -1\nposted 0\nfile TEXT\nlink /tmp/first (deleted)\n"))
      << ReadInPod("/tmp/out");
}

// Below: files of the job's own directories whose names are gone.
constexpr const char* kNameless = R"(
cat >/tmp/job.py <<'END'
import os, time
def wait_for(path):
    while not os.path.exists(path): time.sleep(0.01)
rotated = os.open("rotated", os.O_RDWR | os.O_CREAT | os.O_APPEND)
os.link("rotated", "rotated.1"); os.unlink("rotated")
replaced = os.open("replaced", os.O_RDWR | os.O_CREAT); os.write(replaced, b"old text")
open("new", "w").write("new text"); os.rename("new", "replaced")
removed = os.open("removed", os.O_RDWR | os.O_CREAT); os.unlink("removed")
for fd in rotated, removed: os.write(fd, b"before ")
names = sorted(os.listdir("."))
print("ready", flush=True)
wait_for("/tmp/check")
print("names", "same" if sorted(os.listdir(".")) == names else os.listdir("."), flush=True)
for fd in rotated, removed: os.write(fd, b"after")
os.pwrite(replaced, b"OLD", 0)
print(os.pread(removed, 99, 0), os.pread(replaced, 99, 0), flush=True)
print(open("rotated.1").read(), open("replaced").read(), flush=True)
print(os.path.samestat(os.fstat(rotated), os.stat("rotated.1")), flush=True)
time.sleep(1000)
END
cd )";
constexpr const char* kNamelessAsBefore =
    "names same\nb'before after' b'OLD text'\nbefore after new text\nTrue\n";

TEST_F(RestoreTest, FilesWhoseNamesAreGoneAreKept) {
  MakePod();
  StartRoot(kNameless + user_directory() + "; exec python3 /tmp/job.py");
  ASSERT_TRUE(Sees("/tmp/out", "ready")) << ReadInPod("/tmp/out");
  Move();
  Move();
  const auto root = OpenPodRoot(*pod_);
  const auto tmp = OpenInPod(*root, "/tmp", O_PATH | O_DIRECTORY);
  ASSERT_TRUE(OpenAt(*tmp, "check", O_WRONLY | O_CREAT));
  EXPECT_TRUE(Sees("/tmp/out", kNamelessAsBefore)) << ReadInPod("/tmp/out");
}

TEST_F(RestoreTest, WhatAnInterruptedRestoreHasLeftIsRemoved) {
  MakePod();
  StartRoot(kNameless + user_directory() + "; exec python3 /tmp/job.py");
  ASSERT_TRUE(Sees("/tmp/out", "ready")) << ReadInPod("/tmp/out");
  {
    const auto frozen = Save();
    ASSERT_TRUE(frozen) << frozen.error().message();
    ASSERT_TRUE(pod_->Kill());
  }
  for (const char* name : {"/replaced.cr.1.ghost", "/removed.cr.1.ghost", "/replaced.cr.2.ghost",
                           "/removed.cr.2.ghost"}) {
    ASSERT_TRUE(WriteFile(user_directory() + name, "left"));
  }
  MakePod();
  const auto held = Restore();
  ASSERT_TRUE(held) << held.error().message();
  ASSERT_TRUE((*held)->Resume());
  int left = 0;
  const auto names = ListDirectory(user_directory());
  ASSERT_TRUE(names);
  for (const std::string& name : *names)
    if (name.ends_with(".ghost")) ++left;
  EXPECT_EQ(left, 2);  // those that no file of the checkpoint would have had
}

TEST_F(RestoreTest, WatchesAreKept) {
  MakePod();
  StartRoot(R"(
    mkdir watched; cp /bin/sh a-file; cd )" +
            user_directory() + R"(
    exec python3 -c '
import ctypes, os, time
libc = ctypes.CDLL(None)
fd = libc.inotify_init1(0)
for path in (b"/tmp/watched", b"/tmp/a-file", b")" +
            user_directory() + R"("):
    assert libc.inotify_add_watch(fd, path, 0x100 | 0x2) > 0, path   # IN_CREATE | IN_MODIFY
print("ready", flush=True)
while not os.path.exists("/tmp/check"): time.sleep(0.01)
open("/tmp/watched/one", "w"); open("/tmp/a-file", "a").write("x"); open(")" +
            user_directory() + R"(/two", "w")
import struct
seen = set()
while len(seen) < 3:
    events = os.read(fd, 4096)
    while events:
        watch, _, _, length = struct.unpack_from("iIII", events)
        seen.add(watch)
        events = events[16 + length:]
print("seen", sorted(seen), flush=True)
time.sleep(1000)')");
  ASSERT_TRUE(Sees("/tmp/out", "ready")) << ReadInPod("/tmp/out");
  Move();
  const auto root = OpenPodRoot(*pod_);
  const auto tmp = OpenInPod(*root, "/tmp", O_PATH | O_DIRECTORY);
  ASSERT_TRUE(OpenAt(*tmp, "check", O_WRONLY | O_CREAT));
  EXPECT_TRUE(Sees("/tmp/out", "seen [1, 2, 3]")) << ReadInPod("/tmp/out");
}

TEST_F(RestoreTest, HeldProcessesHaveNotRun) {
  MakePod();
  StartRoot("i=0; while sleep 0.01; do i=$((i+1)); echo $i > /tmp/count; done");
  ASSERT_TRUE(Sees("/tmp/count", "5"));
  ASSERT_TRUE(Save());
  MakePod();
  const auto held = Restore();
  ASSERT_TRUE(held) << held.error().message();
  const std::string count = ReadInPod("/tmp/count");
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_EQ(ReadInPod("/tmp/count"), count);
  ASSERT_TRUE((*held)->Resume());
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_NE(ReadInPod("/tmp/count"), count);
}

TEST_F(RestoreTest, DestroyingAHeldPodKillsIt) {
  SaveWriter();
  const pid_t pid = static_cast<pid_t>(checkpoint_.info.root_pid);
  auto held = Restore();
  ASSERT_TRUE(held) << held.error().message();
  const auto outer = pod_->OuterPid(pid);
  ASSERT_TRUE(outer) << outer.error().message();
  held->reset();
  EXPECT_FALSE(FileExists("/proc/" + std::to_string(*outer)));
}

TEST_F(RestoreTest, RestoresAgainAndAgainFromTheSameImages) {
  SaveWriter();
  for (int i = 0; i < 3; ++i) {
    MakePod();
    const auto held = Restore();
    ASSERT_TRUE(held) << held.error().message();
    ASSERT_TRUE((*held)->Resume());
  }
  EXPECT_FALSE(FileExists(directory_ + "/work"));
}

// As on a node that was booted at another time.
TEST_F(RestoreTest, ClocksGoOn) {
  MakePod();
  StartRoot(R"(exec python3 -uc '
import time
while True:
    print(time.monotonic_ns())
    time.sleep(0.02)')");
  ASSERT_TRUE(Sees("/tmp/out", "\n"));
  ASSERT_TRUE(Save());
  const auto last_line = [this] {
    const std::string text = ReadInPod("/tmp/out");
    const size_t end = text.rfind('\n');
    const size_t begin = text.rfind('\n', end - 1) + 1;
    return std::stoll(text.substr(begin, end - begin));
  };
  std::string& saved = checkpoint_.info.attributes["monotonic_ns"];
  for (const int64_t days : {0, 40, 3}) {
    const int64_t then =
        std::chrono::nanoseconds(std::chrono::days(days) + std::chrono::minutes(1)).count();
    if (days != 0) saved = std::to_string(then);
    const int64_t at_save = std::stoll(saved);
    MakePod();
    const auto held = Restore();
    ASSERT_TRUE(held) << held.error().message();
    const std::string before = ReadInPod("/tmp/out");
    if (days == 0) {
      EXPECT_LE(last_line(), at_save);
    }
    ASSERT_TRUE((*held)->Resume());
    for (int i = 0; i < 1000 && ReadInPod("/tmp/out").size() <= before.size() + 1; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_GE(last_line(), at_save);
    EXPECT_LT(last_line() - at_save, std::chrono::nanoseconds(std::chrono::hours(1)).count());
    EndPod();
  }
}

TEST_F(RestoreTest, ExitOfTheRestoredRootIsSeen) {
  MakePod();
  StartRoot("while ! test -e /tmp/end; do sleep 0.01; done; exit 9");
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  Move();
  const auto root = OpenPodRoot(*pod_);
  const auto tmp = OpenInPod(*root, "/tmp", O_PATH | O_DIRECTORY);
  ASSERT_TRUE(OpenAt(*tmp, "end", O_WRONLY | O_CREAT));
  pollfd polled{.fd = pod_->exit_fd().get(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(::poll(&polled, 1, 10000), 1);
  const auto status = pod_->TakeExit();
  ASSERT_TRUE(status);
  EXPECT_EQ(status->code, 9);
}

TEST_F(RestoreTest, RefusesRightsThatTheUserDoesNotHave) {
  SaveWriter();
  Tamper<image::core_entry>("core-", [](image::core_entry& core) {
    // A sleep that has just ended is a zombie, which has no rights.
    if (core.has_thread_core()) core.mutable_thread_core()->mutable_creds()->set_euid(0);
  });
  ExpectRefusal(Code::kDenied, "uid 0");
}

TEST_F(RestoreTest, RefusesAnotherUsersCheckpoint) {
  SaveWriter();
  checkpoint_.info.owner.uid = 0;
  ExpectRefusal(Code::kDenied, "belongs to uid 0");
}

TEST_F(RestoreTest, RefusesImagesWithStrangeNames) {
  SaveWriter();
  const FakeCheckpoint good = checkpoint_;
  for (const char* name : {"../evil.img", "/etc/evil.img", ".img", "evil.sh"}) {
    checkpoint_ = good;
    checkpoint_.images[name] = "";
    ExpectRefusal(Code::kCorrupt, name);
    MakePod();
    checkpoint_ = good;
    checkpoint_.streams.push_back({.name = name});
    ExpectRefusal(Code::kCorrupt, name);
    MakePod();
  }
}

TEST_F(RestoreTest, NamesTheLibraryThatDiffers) {
  SaveWriter();
  Tamper<image::file_entry>("files.img", [](image::file_entry& file) {
    if (file.reg().name().find("/libc.so") != std::string::npos)
      file.mutable_reg()->set_build_id(0, 0xdeadbeef);
  });
  ExpectRefusal(Code::kUnsupported, "libc.so.6 on this node is not the one the job runs with");
}

TEST_F(RestoreTest, NamesTheProgramThatIsMissing) {
  SaveWriter();
  Tamper<image::file_entry>("files.img", [](image::file_entry& file) {
    if (file.reg().name().ends_with("/bash")) file.mutable_reg()->set_name("/opt/missing/bash");
  });
  ExpectRefusal(Code::kUnsupported, "/opt/missing/bash");
}

TEST_F(RestoreTest, RefusesAWeakerCpu) {
  SaveWriter();
  checkpoint_.info.attributes["cpu_flags"] += " amx_fp8 amx_tile avx512_vp2intersect xop";
  ExpectRefusal(Code::kUnfit, "lacks instructions");
}

TEST_F(RestoreTest, NamesTheFileThatGrew) {
  rollback_ = RollbackPolicy::kOff;
  SaveWriter();
  ASSERT_TRUE(WriteFile(output(), "one\ntwo\n"));
  ExpectRefusal(Code::kChanged, output() + " has 8 bytes, but had 4 at the checkpoint");
}

TEST_F(RestoreTest, NamesTheFileThatWasModified) {
  rollback_ = RollbackPolicy::kOff;
  SaveWriter();
  ASSERT_TRUE(WriteFile(output(), "two\n"));
  ExpectRefusal(Code::kChanged, output() + " was modified after the checkpoint");
}

TEST_F(RestoreTest, NamesTheFileThatIsGone) {
  SaveWriter();
  ASSERT_EQ(::unlink(output().c_str()), 0);
  ExpectRefusal(Code::kChanged, output());
}

TEST_F(RestoreTest, AFileThatWasAppendedToIsCutBack) {
  SaveWriter();
  ASSERT_TRUE(WriteFile(output(), "one\ntwo\n"));
  const auto held = Restore();
  ASSERT_TRUE(held) << held.error().message();
  EXPECT_EQ(ReadFile(output()).value_or(""), "one\n");
}

TEST_F(RestoreTest, JobOutputIsCutBack) {
  SaveWriter();
  ASSERT_EQ(checkpoint_.files.size(), 1u);
  checkpoint_.files[0].job_output = true;
  ASSERT_TRUE(WriteFile(output(), "one\nafter the checkpoint\n"));
  const auto held = Restore();
  ASSERT_TRUE(held) << held.error().message();
  EXPECT_EQ(ReadFile(output()).value_or(""), "one\n");
  ASSERT_TRUE((*held)->Resume());
}

TEST_F(RestoreTest, AReplacedOutputFileIsNotFollowedOutOfTheUsersRights) {
  SaveWriter();
  checkpoint_.files[0].job_output = true;
  const std::string secret = directory_ + "/secret";
  ASSERT_TRUE(WriteFile(secret, "roots own, and long enough\n", 0600));
  ASSERT_EQ(::unlink(output().c_str()), 0);
  ASSERT_EQ(::symlink(secret.c_str(), output().c_str()), 0);
  EXPECT_FALSE(Restore());
  EXPECT_EQ(ReadFile(secret).value_or(""), "roots own, and long enough\n");
}

TEST_F(RestoreTest, CriusOwnWordsReachTheUser) {
  SaveWriter();
  checkpoint_.images.erase("mm-" + std::to_string(checkpoint_.info.root_pid) + ".img");
  const auto held = Restore();
  ASSERT_FALSE(held);
  EXPECT_THAT(held.error().message(), HasSubstr("criu: Error ("));
  EXPECT_THAT(held.error().message(), HasSubstr("restore.log"));
}

}  // namespace
}  // namespace holdfast::warden
