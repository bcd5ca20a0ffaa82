// Processes that say what they have, in real pods: needs root.
#include "warden/attributes/attributes.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>

#include "base/files.h"

namespace holdfast::warden {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Makes sockets, changed if told so, and when it is told to go on, says what it has. Both times the
// sockets have the same descriptors, as CRIU would make them.
constexpr const char* kProgram = R"(
import ctypes, os, socket, struct, sys
libc = ctypes.CDLL(None)
tcp, udp, sender = socket.socket(), socket.socket(type=socket.SOCK_DGRAM), socket.socket(type=socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 7300)); sender.bind(("127.0.0.1", 7301)); udp.setblocking(False)
user_timeout, linger2, mcast = (6, 18), (6, 8), (0, 33)
ioprio_set, ioprio_get = 251, 252
if sys.argv[1] == "changed":
    tcp.setsockopt(*user_timeout, 4321); tcp.setsockopt(*linger2, 7)
    udp.setsockopt(*mcast, 9)
    udp.setsockopt(0, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("239.1.2.3") + socket.inet_aton("127.0.0.1"))
    for text in (b"one", b"three"): sender.sendto(text, ("127.0.0.1", 7300))
    libc.prctl(29, 77777)
    libc.syscall(ioprio_set, 1, 0, 2 << 13 | 6)
    open("/proc/self/coredump_filter", "w").write("0x11")
sender.close()
print("ready", flush=True)
sys.stdin.readline()
print("timeout", tcp.getsockopt(*user_timeout), "linger2", tcp.getsockopt(*linger2), "ttl", udp.getsockopt(*mcast))
print("member", "030201EF" in open("/proc/net/igmp").read())
print("slack", libc.prctl(30), "io", libc.syscall(ioprio_get, 1, 0), "core", open("/proc/self/coredump_filter").read())
for i in range(3):
    try: print("datagram", *udp.recvfrom(100))
    except BlockingIOError: print("no more")
)";

class Program {
 public:
  explicit Program(const char* how) {
    auto pod = Pod::Create({.owner = {.uid = 65534, .gid = 65534, .groups = {}},
                            .init_program = HOLDFAST_TEST_POD_INIT});
    EXPECT_TRUE(pod) << pod.error().message();
    pod_ = std::move(*pod);
    SpawnOptions options{.argv = {"python3", "-c", kProgram, how}};
    pod_->Enter(options);
    auto in = MakePipe();
    auto out = MakePipe();
    options.fds = {{in->read_end.get(), 0}, {out->write_end.get(), 1}};
    auto process = Process::Spawn(options);
    EXPECT_TRUE(process);
    process_ = std::move(*process);
    in_ = std::move(in->write_end);
    out_ = std::move(out->read_end);
    out->write_end.Reset();
    char ready[6];
    EXPECT_TRUE(ReadFull(out_, std::as_writable_bytes(std::span(ready))));
  }
  std::string Tell() {
    EXPECT_TRUE(WriteFull(in_, AsBytes(std::string("\n"))));
    return ReadAll(out_).value();
  }
  const Pod& pod() const { return *pod_; }

 private:
  std::unique_ptr<Pod> pod_;
  std::optional<Process> process_;
  UniqueFd in_, out_;
};

class AttributesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root, to make pods";
  }
};

TEST_F(AttributesTest, AreThoseThatWereSaved) {
  Program saved("changed");
  const auto attributes = DescribeAttributes(saved.pod(), "");
  ASSERT_TRUE(attributes) << attributes.error().message();
  const std::string expected = saved.Tell();
  EXPECT_THAT(expected, HasSubstr("timeout 4321 linger2 7 ttl 9\nmember True\nslack 77777"));
  EXPECT_THAT(expected, HasSubstr("datagram b'three' ('127.0.0.1', 7301)\nno more"));

  Program restored("as it is");
  const Status given = RestoreAttributes(restored.pod(), *attributes);
  ASSERT_TRUE(given) << given.error().message();
  EXPECT_EQ(restored.Tell(), expected);
}

TEST_F(AttributesTest, NothingIsSavedOfWhoAskedForNothing) {
  Program program("as it is");
  EXPECT_EQ(DescribeAttributes(program.pod(), "").value(), "");
  EXPECT_TRUE(RestoreAttributes(program.pod(), ""));
  EXPECT_THAT(program.Tell(), Not(HasSubstr("datagram")));
}

TEST_F(AttributesTest, DamageIsNoticed) {
  Program program("as it is");
  EXPECT_EQ(RestoreAttributes(program.pod(), "\xff\xff").error().code(), Code::kCorrupt);
}

}  // namespace
}  // namespace holdfast::warden
