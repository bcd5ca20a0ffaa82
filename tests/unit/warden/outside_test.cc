// A node and a server, as network namespaces joined by a veth pair, with a real pod on the node:
// needs root.
#include "warden/isolation/outside.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>

#include "base/files.h"
#include "warden/isolation/network.h"
#include "warden/isolation/network_namespace.h"

namespace holdfast::warden {
namespace {

using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::HasSubstr;

// Serves one connection: says who came, and sends back what it gets.
constexpr const char* kServe = R"(
import socket
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("ADDRESS", 7000)); s.listen(); s.settimeout(20)
print("listening", flush=True)
c, peer = s.accept()
c.sendall((peer[0] + "\n").encode())
while data := c.recv(65536): c.sendall(data)
)";
// Sends some MB there, comes back with what it saw.
constexpr const char* kAsk = R"(
import socket, hashlib, threading
s = socket.create_connection(("10.9.0.2", 7000), timeout=20)
f = s.makefile("rb")
print("seen as", f.readline().decode().strip(), "am", s.getsockname()[0])
sent = b"0123456789abcdef" * 500000
t = threading.Thread(target=lambda: (s.sendall(sent), s.shutdown(socket.SHUT_WR))); t.start()
print("whole" if f.read() == sent else "broken"); t.join()
)";

class OutsideTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root, to make namespaces";
    for (Place* place : {&node_, &server_}) {
      SpawnOptions options{.argv = {"sleep", "1000"}, .unshare_flags = CLONE_NEWNET};
      auto holder = Process::Spawn(options);
      ASSERT_TRUE(holder) << holder.error().message();
      place->holder = std::move(*holder);
      auto network =
          OpenFile("/proc/" + std::to_string(place->holder->pid()) + "/ns/net", O_RDONLY);
      ASSERT_TRUE(network) << network.error().message();
      place->network = std::move(*network);
    }
    ASSERT_THAT(On(node_, "ip link set lo up && ip link add v0 type veth peer name v1 netns " +
                              std::to_string(server_.holder->pid()) +
                              " && ip addr add 10.9.0.1/24 dev v0 && ip link set v0 up"),
                HasSubstr("ok"));
    ASSERT_THAT(On(server_, "ip addr add 10.9.0.2/24 dev v1 && ip link set v1 up"),
                HasSubstr("ok"));
    auto pod = Pod::Create({.owner = {.uid = 65534, .gid = 65534, .groups = {}},
                            .init_program = HOLDFAST_TEST_POD_INIT});
    ASSERT_TRUE(pod) << pod.error().message();
    pod_ = std::move(*pod);
    const NetworkOptions job{.vni = 43,
                             .port = 829,
                             .mtu = 1450,
                             .subnet = "198.18.0.0/16",
                             .local_address = "10.9.0.1",
                             .peers = {{.pod = 0, .node_address = "10.9.0.1", .hostname = "n0"}}};
    const ScopedNetworkNamespace on_node(node_.network);
    auto network = JobNetwork::Create(*pod_, job);
    ASSERT_TRUE(network) << network.error().message();
    network_ = std::move(*network);
  }

  void TearDown() override {
    outside_.reset();
    network_.reset();
    pod_.reset();
  }

  Status Open(OutsideOptions options = {}) {
    options.program = HOLDFAST_TEST_OUTSIDE;
    options.source = "198.18.0.1";
    const ScopedNetworkNamespace on_node(node_.network);
    EXPECT_TRUE(on_node.status());
    HOLDFAST_TRY(outside_, Outside::Open(*pod_, options));
    return {};
  }

  struct Place {
    std::optional<Process> holder;  // of the network namespace
    UniqueFd network;
  };

  static std::string Output(SpawnOptions options) {
    const auto output = RunCommand(std::move(options), seconds(30));
    if (!output) return output.error().message();
    return output->status.ok() ? "ok: " + output->output : "failed: " + output->output;
  }
  static std::string On(const Place& place, const std::string& command) {
    SpawnOptions options{.argv = {"/bin/sh", "-c", command}};
    options.namespaces = {place.network.get()};
    return Output(options);
  }
  std::string InPod(const std::vector<std::string>& argv) {
    SpawnOptions options{.argv = argv};
    pod_->Enter(options);
    return Output(options);
  }

  // Listens when this returns.
  void Serve(const Place& place, const std::string& address) {
    std::string program = kServe;
    program.replace(program.find("ADDRESS"), 7, address);
    SpawnOptions options{.argv = {"python3", "-c", program}};
    options.namespaces = {place.network.get()};
    auto pipe = MakePipe();
    options.fds = {{pipe->write_end.get(), 1}};
    auto process = Process::Spawn(options);
    ASSERT_TRUE(process);
    pipe->write_end.Reset();
    char ready[10];  // with its newline
    ASSERT_TRUE(ReadFull(pipe->read_end, std::as_writable_bytes(std::span(ready))));
    serving_ = std::move(*process);
  }

  Place node_, server_;
  std::unique_ptr<Pod> pod_;
  std::unique_ptr<JobNetwork> network_;
  std::unique_ptr<Outside> outside_;
  std::optional<Process> serving_;
};

TEST_F(OutsideTest, APodReachesWhatItsNodeReachesUnderItsOwnAddress) {
  ASSERT_TRUE(network_->Uncut());
  EXPECT_THAT(InPod({"python3", "-c", kAsk}), HasSubstr("Network is unreachable"));
  const Status opened = Open();
  ASSERT_TRUE(opened) << opened.error().message();
  Serve(server_, "10.9.0.2");
  EXPECT_THAT(InPod({"python3", "-c", kAsk}),
              AllOf(HasSubstr("seen as 10.9.0.1 am 198.18.0.1"), HasSubstr("whole")));
}

TEST_F(OutsideTest, ACutTakesItInAndLosesNothing) {
  const Status opened = Open();
  ASSERT_TRUE(opened) << opened.error().message();
  Serve(server_, "10.9.0.2");
  EXPECT_THAT(InPod({"timeout", "2", "nc", "-z", "10.9.0.2", "7000"}), HasSubstr("failed"));
  ASSERT_TRUE(network_->Uncut());
  SpawnOptions ask{.argv = {"python3", "-c", kAsk}};
  pod_->Enter(ask);
  auto pipe = MakePipe();
  ask.fds = {{pipe->write_end.get(), 1}};
  auto asking = Process::Spawn(ask);
  ASSERT_TRUE(asking);
  pipe->write_end.Reset();
  char seen[8];
  ASSERT_TRUE(ReadFull(pipe->read_end, std::as_writable_bytes(std::span(seen))));
  ASSERT_TRUE(network_->Cut());
  ::usleep(700'000);
  ASSERT_TRUE(network_->Uncut());
  EXPECT_THAT(ReadAll(pipe->read_end).value(), HasSubstr("whole"));
}

TEST_F(OutsideTest, ClosedNetworksAreRefused) {
  ASSERT_TRUE(network_->Uncut());
  const Status opened = Open({.closed = "192.168.0.0/16,10.9.0.0/24"});
  ASSERT_TRUE(opened) << opened.error().message();
  Serve(server_, "10.9.0.2");
  EXPECT_THAT(InPod({"python3", "-c", kAsk}), HasSubstr("failed"));
}

TEST_F(OutsideTest, TheNodesOwnLoopbackIsNotReached) {
  ASSERT_TRUE(network_->Uncut());
  const Status opened = Open();
  ASSERT_TRUE(opened) << opened.error().message();
  Serve(node_, "127.0.0.1");
  EXPECT_THAT(InPod({"timeout", "2", "nc", "-z", "169.254.77.2", "7000"}), HasSubstr("failed"));
}

TEST_F(OutsideTest, NobodyInThePodSendsToAJobsNetwork) {
  // From a port that only root has, which is what nodes ask of whoever speaks VXLAN to them.
  ASSERT_TRUE(network_->Uncut());
  const Status opened = Open();
  ASSERT_TRUE(opened) << opened.error().message();
  SpawnOptions listen{.argv = {"timeout", "3", "nc", "-u", "-l", "10.9.0.2", "829"}};
  listen.namespaces = {server_.network.get()};
  auto pipe = MakePipe();
  listen.fds = {{pipe->write_end.get(), 1}};
  ASSERT_THAT(On(server_,
                 "nft 'add table ip t; add chain ip t c { type filter hook input priority "
                 "0; }; add rule ip t c udp sport < 1024 drop'"),
              HasSubstr("ok"));
  auto listener = Process::Spawn(listen);
  ASSERT_TRUE(listener);
  pipe->write_end.Reset();
  ::usleep(300'000);
  // As root of the pod's namespace, which no user is.
  EXPECT_THAT(InPod({"sh", "-c", "echo forged | timeout 1 nc -u -p 700 10.9.0.2 829; true"}),
              HasSubstr("ok"));
  EXPECT_EQ(ReadAll(pipe->read_end).value(), "forged\n") << "it came from an unprivileged port";
}

TEST_F(OutsideTest, ItHasNoRightButItsUsers) {
  const Status opened = Open();
  ASSERT_TRUE(opened) << opened.error().message();
  const std::string found = On(node_, "pgrep -f holdfast-outside | xargs -I{} cat /proc/{}/status");
  EXPECT_THAT(found, AllOf(HasSubstr("Uid:\t65534\t65534\t65534\t65534"),
                           HasSubstr("CapPrm:\t0000000000000000"), HasSubstr("NoNewPrivs:\t1")));
}

TEST(MakeResolverConfiguration, AsksTheNodesResolverWithTheNodesOptions) {
  EXPECT_EQ(MakeResolverConfiguration("# by dhcp\nsearch example.org\nnameserver 127.0.0.53\n"
                                      "nameserver ::1\noptions edns0"),
            "nameserver 169.254.77.3\n# by dhcp\nsearch example.org\noptions edns0\n");
  EXPECT_EQ(MakeResolverConfiguration("search example.org\n"), "");
  EXPECT_EQ(MakeResolverConfiguration(""), "");
}

}  // namespace
}  // namespace holdfast::warden
