#include "coordinator/rest_gate.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <latch>
#include <semaphore>

namespace holdfast::coordinator {
namespace {

UniqueFd Connect(int port) {
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in to{.sin_family = AF_INET,
                 .sin_port = htons(static_cast<uint16_t>(port)),
                 .sin_addr = {htonl(INADDR_LOOPBACK)},
                 .sin_zero = {}};
  EXPECT_EQ(::connect(socket.get(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  return socket;
}

// What comes before the connection is closed.
std::string AllOf(const UniqueFd& socket) {
  std::string all;
  char buffer[4096];
  for (ssize_t n; (n = ::recv(socket.get(), buffer, sizeof buffer, 0)) > 0;)
    all.append(buffer, static_cast<size_t>(n));
  return all;
}

// The server's threads may be held up by slurmctld, and anybody can send whole requests meanwhile.
TEST(RestGate, RequestsThatWaitForAThreadAreNotKeptWithoutEnd) {
  constexpr size_t kWaiting = 8;
  RestGate gate({.threads = 1, .waiting = kWaiting});
  std::latch busy(1);
  std::binary_semaphore go(0);
  gate.Get("/slow", [&](const httplib::Request&, httplib::Response& response) {
    busy.count_down();
    go.acquire();
    response.set_content("slow", "text/plain");
  });
  gate.Get("/fast", [](const httplib::Request&, httplib::Response& response) {
    response.set_content("fast", "text/plain");
  });
  const int port = gate.bind_to_any_port("127.0.0.1");
  std::thread serving([&] { gate.listen_after_bind(); });
  gate.wait_until_ready();
  const auto ask = [&](const char* path) {
    UniqueFd socket = Connect(port);
    const std::string request = std::string("GET ") + path + " HTTP/1.1\r\nHost: x\r\n\r\n";
    EXPECT_EQ(::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(request.size()));
    return socket;
  };
  const UniqueFd slow = ask("/slow");
  busy.wait();
  std::vector<UniqueFd> crowd;
  for (size_t i = 0; i < 5 * kWaiting; ++i) crowd.push_back(ask("/fast"));
  // All but the last have been sent away, although no thread was free.
  for (size_t i = 0; i < 4 * kWaiting; ++i) EXPECT_EQ(AllOf(crowd[i]), "") << i;
  go.release();
  EXPECT_TRUE(AllOf(slow).ends_with("slow"));
  for (size_t i = 4 * kWaiting; i < crowd.size(); ++i)
    EXPECT_TRUE(AllOf(crowd[i]).ends_with("fast")) << i;
  gate.stop();
  serving.join();
}

}  // namespace
}  // namespace holdfast::coordinator
