// Two nodes, as network namespaces joined by a veth pair, with a real pod on each: needs root.
#include "warden/isolation/network.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <optional>

#include "base/files.h"
#include "warden/isolation/network_namespace.h"

namespace holdfast::warden {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;

// A process that only holds a network namespace.
struct Node {
  std::optional<Process> holder;
  UniqueFd network;
  std::unique_ptr<Pod> pod;
  std::unique_ptr<JobNetwork> job;
};

Result<Node> MakeNode() {
  SpawnOptions options;
  options.argv = {"sleep", "1000"};
  options.unshare_flags = CLONE_NEWNET;
  HOLDFAST_TRY(Process holder, Process::Spawn(options));
  HOLDFAST_TRY(UniqueFd network,
               OpenFile("/proc/" + std::to_string(holder.pid()) + "/ns/net", O_RDONLY));
  return Node{.holder = std::move(holder), .network = std::move(network)};
}

std::string Output(SpawnOptions options) {
  const auto output = RunCommand(std::move(options), seconds(20));
  if (!output) return output.error().message();
  return output->status.ok() ? "ok: " + output->output : "failed: " + output->output;
}
SpawnOptions Shell(const std::string& command) { return {.argv = {"/bin/sh", "-c", command}}; }

// What a VXLAN packet from `source_port` of the first node brings to UDP port 7000 of pod 1. The
// frame in it is a datagram "forged" from pod 0.
constexpr const char* kForge = R"(
import socket, struct
inner = bytes.fromhex("024846000001" "024846000000" "0800")
ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 34, 1, 0, 64, 17, 0,
                 socket.inet_aton("198.18.0.1"), socket.inet_aton("198.18.0.2"))
total = sum(struct.unpack("!10H", ip)); total = (total & 0xffff) + (total >> 16)
ip = ip[:10] + struct.pack("!H", ~total & 0xffff) + ip[12:]
udp = struct.pack("!HHHH", 7000, 7000, 14, 0) + b"forged"
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.9.0.1", PORT))
s.sendto(bytes.fromhex("0800000000002a00") + inner + ip + udp, ("10.9.0.2", 829))
)";
constexpr const char* kListen = R"(
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("198.18.0.2", 7000)); s.settimeout(1.5)
print("listening", flush=True)
try: print(s.recv(100).decode())
except TimeoutError: print("nothing")
)";

class NetworkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root, to make namespaces";
    for (Node& node : nodes_) {
      auto made = MakeNode();
      ASSERT_TRUE(made) << made.error().message();
      node = std::move(*made);
    }
    SpawnOptions join = Shell("ip link add v0 type veth peer name v1 && ip link set v1 netns " +
                              std::to_string(nodes_[1].holder->pid()) +
                              " && ip addr add 10.9.0.1/24 dev v0 && ip link set v0 up");
    join.namespaces = {nodes_[0].network.get()};
    ASSERT_THAT(Output(join), HasSubstr("ok"));
    join = Shell("ip addr add 10.9.0.2/24 dev v1 && ip link set v1 up");
    join.namespaces = {nodes_[1].network.get()};
    ASSERT_THAT(Output(join), HasSubstr("ok"));

    options_ = {.vni = 42, .port = 829, .mtu = 1450, .subnet = "198.18.0.0/16"};
    options_.peers = {{.pod = 0, .node_address = "10.9.0.1", .hostname = "n0"},
                      {.pod = 1, .node_address = "10.9.0.2", .hostname = "n1"}};
    for (uint32_t i = 0; i < 2; ++i) {
      auto pod = Pod::Create({.index = i,
                              .hostname = options_.peers[i].hostname,
                              .owner = {.uid = 65534, .gid = 65534, .groups = {}},
                              .hosts = MakeHosts(options_).value(),
                              .init_program = HOLDFAST_TEST_POD_INIT});
      ASSERT_TRUE(pod) << pod.error().message();
      nodes_[i].pod = std::move(*pod);
      auto job = Create(i, *nodes_[i].pod);
      ASSERT_TRUE(job) << job.error().message();
      nodes_[i].job = std::move(*job);
    }
  }

  void TearDown() override {
    for (Node& node : nodes_) node.job.reset();
  }

  Result<std::unique_ptr<JobNetwork>> Create(uint32_t index, const Pod& pod) {
    options_.local_address = options_.peers[index].node_address;
    const ScopedNetworkNamespace on_node(nodes_[index].network);
    EXPECT_TRUE(on_node.status());
    return JobNetwork::Create(pod, options_);
  }

  std::string InPod(uint32_t index, const std::string& command) {
    SpawnOptions options = Shell(command);
    nodes_[index].pod->Enter(options);
    return Output(options);
  }
  bool Ping() { return InPod(0, "ping -c1 -W1 n1").starts_with("ok"); }
  void Uncut() {
    for (Node& node : nodes_) ASSERT_TRUE(node.job->Uncut());
  }

  // What arrives in pod 1 when somebody on node 0 sends a forged packet from this port.
  std::string Forge(uint16_t source_port) {
    SpawnOptions listen{.argv = {"python3", "-c", kListen}};
    nodes_[1].pod->Enter(listen);
    auto pipe = MakePipe();
    listen.fds = {{pipe->write_end.get(), 1}};
    auto listener = Process::Spawn(listen);
    EXPECT_TRUE(listener);
    pipe->write_end.Reset();
    char ready[10];
    EXPECT_TRUE(ReadFull(pipe->read_end, std::as_writable_bytes(std::span(ready))));
    std::string program = kForge;
    program.replace(program.find("PORT"), 4, std::to_string(source_port));
    SpawnOptions send{.argv = {"python3", "-c", program}};
    send.namespaces = {nodes_[0].network.get()};
    EXPECT_THAT(Output(send), HasSubstr("ok"));
    return ReadAll(pipe->read_end).value();
  }

  NetworkOptions options_;
  std::array<Node, 2> nodes_;
};

TEST_F(NetworkTest, StartsCutThenCarriesPacketsAndIsCutAgain) {
  EXPECT_FALSE(Ping());
  Uncut();
  EXPECT_TRUE(Ping());
  EXPECT_TRUE(nodes_[0].job->Uncut()) << "a second time";
  ASSERT_TRUE(nodes_[1].job->Cut());
  ASSERT_TRUE(nodes_[1].job->Cut()) << "a second time";
  EXPECT_FALSE(Ping());
  ASSERT_TRUE(nodes_[1].job->Uncut());
  EXPECT_TRUE(Ping());
}

TEST_F(NetworkTest, FillsItsMtuAndNoMore) {
  Uncut();
  // 28 bytes of IP and ICMP headers.
  EXPECT_THAT(InPod(0, "ping -c1 -W1 -M do -s 1422 n1"), HasSubstr("ok"));
  EXPECT_THAT(InPod(0, "ping -c1 -W1 -M do -s 1423 n1"), HasSubstr("failed"));
}

TEST_F(NetworkTest, ConnectionSurvivesACut) {
  Uncut();
  SpawnOptions listen = Shell("nc -l -N 198.18.0.2 7001 | md5sum");
  nodes_[1].pod->Enter(listen);
  auto pipe = MakePipe();
  listen.fds = {{pipe->write_end.get(), 1}};
  auto listener = Process::Spawn(listen);
  ASSERT_TRUE(listener);
  pipe->write_end.Reset();
  ::usleep(300'000);
  SpawnOptions send = Shell("(seq 20000; sleep 1; seq 20000) | nc -N 198.18.0.2 7001");
  nodes_[0].pod->Enter(send);
  auto sender = Process::Spawn(send);
  ASSERT_TRUE(sender);
  ::usleep(400'000);
  ASSERT_TRUE(nodes_[0].job->Cut());
  ::usleep(1'500'000);
  ASSERT_TRUE(nodes_[0].job->Uncut());
  EXPECT_TRUE(sender->Wait(seconds(20)));
  EXPECT_THAT("ok: " + ReadAll(pipe->read_end).value(),
              Output(Shell("(seq 20000; seq 20000) | md5sum")));
}

TEST_F(NetworkTest, DropsWhatAUserOfANodeCouldHaveSent) {
  Uncut();
  EXPECT_THAT(Forge(1000), HasSubstr("forged")) << "the packet must be one that is taken";
  EXPECT_THAT(Forge(40000), HasSubstr("nothing"));
}

TEST_F(NetworkTest, AddressesAndNeighboursAreFixed) {
  EXPECT_THAT(InPod(1, "ip -o addr show hf0"), HasSubstr("198.18.0.2/16"));
  EXPECT_THAT(InPod(1, "ip -o link show hf0"), HasSubstr("02:48:46:00:00:01"));
  EXPECT_THAT(InPod(1, "ip neigh show dev hf0"),
              HasSubstr("198.18.0.1 lladdr 02:48:46:00:00:00 PERMANENT"));
  EXPECT_THAT(InPod(1, "ip -6 addr show dev hf0"), "ok: ");
}

TEST_F(NetworkTest, VniIsFreeOnceDestroyed) {
  nodes_[0].job.reset();
  EXPECT_THAT(InPod(0, "ip link show hf0"), HasSubstr("failed"));
  auto again = Create(0, *nodes_[0].pod);
  ASSERT_TRUE(again) << again.error().message();
  nodes_[0].job = std::move(*again);
  Uncut();
  EXPECT_TRUE(Ping());
}

// Three pods on two nodes.
TEST_F(NetworkTest, PodsOfOneNodeReachEachOtherAndTheOthers) {
  for (Node& node : nodes_) node.job.reset();
  options_.peers.push_back({.pod = 2, .node_address = "10.9.0.1", .hostname = "second", .slot = 1});
  auto second = Pod::Create({.index = 2,
                             .hostname = "second",
                             .owner = {.uid = 65534, .gid = 65534, .groups = {}},
                             .hosts = MakeHosts(options_).value(),
                             .init_program = HOLDFAST_TEST_POD_INIT});
  ASSERT_TRUE(second) << second.error().message();
  for (uint32_t i = 0; i < 2; ++i) {
    auto job = Create(i, *nodes_[i].pod);
    ASSERT_TRUE(job) << job.error().message();
    nodes_[i].job = std::move(*job);
  }
  Result<std::unique_ptr<JobNetwork>> network = [&] {
    options_.local_address = "10.9.0.1";
    const ScopedNetworkNamespace on_node(nodes_[0].network);
    return JobNetwork::Create(**second, options_);
  }();
  ASSERT_TRUE(network) << network.error().message();
  const auto in_second = [&](const std::string& command) {
    SpawnOptions options = Shell(command);
    (*second)->Enter(options);
    return Output(options);
  };
  Uncut();
  EXPECT_THAT(in_second("ping -c1 -W1 198.18.0.1"), HasSubstr("failed")) << "it is cut";
  ASSERT_TRUE((*network)->Uncut());
  for (const char* address : {"198.18.0.1", "198.18.0.2"})
    EXPECT_THAT(in_second(std::string("ping -c1 -W1 -M do -s 1422 ") + address), HasSubstr("ok"));
  EXPECT_THAT(InPod(0, "ping -c1 -W1 198.18.0.3"), HasSubstr("ok"));
  EXPECT_THAT(InPod(1, "ping -c1 -W1 198.18.0.3"), HasSubstr("ok"));
  EXPECT_THAT(InPod(1, "ping -c1 -W1 198.18.0.1"), HasSubstr("ok"));
  EXPECT_THAT(InPod(0, "ping -c1 -W1 -M do -s 1423 198.18.0.3"), HasSubstr("failed"));
  EXPECT_THAT(in_second("ip -o link show hf0"), HasSubstr("02:48:46:00:00:02"));
  EXPECT_THAT(in_second("ls /sys/class/net"), Not(HasSubstr("vxlan")));
  ASSERT_TRUE(nodes_[0].job->Cut());
  EXPECT_THAT(in_second("ping -c1 -W1 198.18.0.1"), HasSubstr("failed"));

  // Their numbers are free on that node once they are gone.
  nodes_[0].job.reset();
  network->reset();
  auto again = Create(0, *nodes_[0].pod);
  ASSERT_TRUE(again) << again.error().message();
  nodes_[0].job = std::move(*again);
}

TEST_F(NetworkTest, RefusesANodeWhereUsersMayBindPrivilegedPorts) {
  nodes_[0].job.reset();
  SpawnOptions open = Shell("sysctl -qw net.ipv4.ip_unprivileged_port_start=80");
  open.namespaces = {nodes_[0].network.get()};
  ASSERT_THAT(Output(open), HasSubstr("ok"));
  const auto again = Create(0, *nodes_[0].pod);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), Code::kUnsupported);
  EXPECT_THAT(again.error().message(), HasSubstr("set it to 1024 or more"));
}

TEST(FindUnderlay, TellsAddressAndMtuTowardsTheCoordinator) {
  const auto underlay = FindUnderlay("127.0.0.1", 6828);
  ASSERT_TRUE(underlay) << underlay.error().message();
  EXPECT_EQ(underlay->address, "127.0.0.1");
  EXPECT_EQ(underlay->mtu, 65536u);
  EXPECT_EQ(FindUnderlay("no-such-host.invalid", 1).error().code(), Code::kUnavailable);
}

}  // namespace
}  // namespace holdfast::warden
