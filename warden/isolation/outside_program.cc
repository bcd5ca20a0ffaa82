#include "warden/isolation/outside_program.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <slirp/libslirp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/deleter.h"

namespace holdfast::warden {
namespace {

// Frames that are taken from the pod before its connections have their turn.
constexpr int kFramesInARow = 64;
// The oldest version that knows all that is set here: libslirp 4.6.
constexpr uint32_t kConfigVersion = 4;

// libslirp's bits of poll(2).
constexpr std::pair<int, short> kEvents[] = {{SLIRP_POLL_IN, POLLIN},
                                             {SLIRP_POLL_OUT, POLLOUT},
                                             {SLIRP_POLL_PRI, POLLPRI},
                                             {SLIRP_POLL_ERR, POLLERR},
                                             {SLIRP_POLL_HUP, POLLHUP}};

in_addr Address(const char* text) {
  in_addr address{};
  ::inet_pton(AF_INET, text, &address);
  return address;
}

int AddPoll(int fd, int events, void* polled) {
  short wanted = 0;
  for (const auto& [theirs, ours] : kEvents)
    if ((events & theirs) != 0) wanted = static_cast<short>(wanted | ours);
  auto& list = *static_cast<std::vector<pollfd>*>(polled);
  list.push_back({.fd = fd, .events = wanted, .revents = 0});
  return static_cast<int>(list.size()) - 1;
}

int Happened(int index, void* polled) {
  const short revents =
      (*static_cast<std::vector<pollfd>*>(polled))[static_cast<size_t>(index)].revents;
  int events = 0;
  for (const auto& [theirs, ours] : kEvents)
    if ((revents & ours) != 0) events |= theirs;
  return events;
}

// What libslirp calls. Its timers are for IPv6, which is off.
constexpr SlirpCb kCallbacks{
    // A frame that the interface does not take is lost, as on any network.
    .send_packet = [](const void* frame, size_t size, void*) -> slirp_ssize_t {
      return ::write(kTapFd, frame, size);
    },
    .guest_error = [](const char*, void*) {},
    .clock_get_ns = [](void*) -> int64_t {
      return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
    },
    .timer_new = [](SlirpTimerCb, void*, void*) -> void* { std::abort(); },
    .timer_free = [](void*, void*) { std::abort(); },
    .timer_mod = [](void*, int64_t, void*) { std::abort(); },
    .register_poll_fd = [](int, void*) {},
    .unregister_poll_fd = [](int, void*) {},
    .notify = [](void*) {},
};

std::unique_ptr<Slirp, Deleter<slirp_cleanup>> Open() {
  SlirpConfig config{};
  config.version = kConfigVersion;
  config.in_enabled = true;
  const std::string network = kOutsideNetwork;
  config.vnetwork = Address(network.substr(0, network.find('/')).c_str());
  config.vnetmask = Address("255.255.255.0");
  config.vhost = Address(kOutsideGateway);
  config.vnameserver = Address(kOutsideResolver);
  config.if_mtu = kOutsideMtu;
  config.if_mru = kOutsideMtu;
  config.disable_host_loopback = true;
  config.disable_dhcp = true;
  return std::unique_ptr<Slirp, Deleter<slirp_cleanup>>(slirp_new(&config, &kCallbacks, nullptr));
}

// False once the interface is gone.
bool TakeFrames(Slirp* slirp) {
  static unsigned char frame[kOutsideMtu + 64];
  for (int i = 0; i < kFramesInARow; ++i) {
    const ssize_t size = ::read(kTapFd, frame, sizeof frame);
    if (size <= 0) return size < 0 && (errno == EAGAIN || errno == EINTR);
    slirp_input(slirp, frame, static_cast<int>(size));
  }
  return true;
}

}  // namespace

int RunOutside() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::fcntl(kTapFd, F_SETFL, O_NONBLOCK) != 0)
    return 1;
  const auto slirp = Open();
  if (!slirp) return 1;
  std::vector<pollfd> polled;
  while (true) {
    polled.assign(1, {.fd = kTapFd, .events = POLLIN, .revents = 0});
    uint32_t timeout_ms = std::numeric_limits<uint32_t>::max();  // for ever, as poll(2) sees it
    slirp_pollfds_fill(slirp.get(), &timeout_ms, AddPoll, &polled);
    const int ready = ::poll(polled.data(), polled.size(), static_cast<int>(timeout_ms));
    if (ready < 0 && errno != EINTR) return 1;
    slirp_pollfds_poll(slirp.get(), ready < 0 ? 1 : 0, Happened, &polled);
    if (ready > 0 && polled.front().revents != 0 && !TakeFrames(slirp.get())) return 0;
  }
}

}  // namespace holdfast::warden
