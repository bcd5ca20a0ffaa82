#include "warden/criu/accept_queues.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <sstream>
#include <thread>
#include <vector>

#include "base/files.h"
#include "base/numbers.h"
#include "warden/isolation/pod_processes.h"

namespace holdfast::warden {
namespace {

constexpr std::chrono::milliseconds kBetweenLooks{20};

struct Queue {
  std::string address;
  std::string inode;
  uint64_t waiting = 0;
};

// proc_pid_net(5): of a listening socket, rx_queue is how many connections wait.
Result<std::vector<Queue>> FindQueues(const Pod& pod) {
  constexpr std::string_view kListening = "0A";
  std::vector<Queue> queues;
  for (const char* table : {"tcp", "tcp6"}) {
    // Without IPv6 there is no tcp6.
    std::istringstream lines(ReadFile(pod.proc_path() + "/1/net/" + table).value_or(""));
    for (std::string line; std::getline(lines, line);) {
      std::istringstream fields(line);
      std::string number, local, remote, state, sizes, timer, retransmits, uid, timeout, inode;
      if (!(fields >> number >> local >> remote >> state >> sizes >> timer >> retransmits >> uid >>
            timeout >> inode) ||
          state != kListening)
        continue;
      const uint64_t waiting = std::strtoull(sizes.c_str() + sizes.find(':') + 1, nullptr, 16);
      if (waiting > 0)
        queues.push_back({.address = ReadableAddress(local), .inode = inode, .waiting = waiting});
    }
  }
  return queues;
}

constexpr size_t kWordDigits = 8;

std::optional<uint32_t> ParseHex(const std::string& text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string ProcessWith(const Pod& pod, const std::string& inode) {
  const std::string socket = "socket:[" + inode + "]";
  for (const std::string& pid :
       ListDirectory(pod.proc_path()).value_or(std::vector<std::string>())) {
    if (!ParseNumber<pid_t>(pid)) continue;
    const std::string process = pod.proc_path() + "/" + pid;
    for (const std::string& fd :
         ListDirectory(process + "/fd").value_or(std::vector<std::string>())) {
      if (ReadLink(process + "/fd/" + fd).value_or("") != socket) continue;
      return fmt::format("process {} ({})", pid, NameOfProcess(process));
    }
  }
  return "no process";
}

}  // namespace

std::string ReadableAddress(const std::string& hex) {
  const size_t colon = hex.find(':');
  const bool is_4 = colon == kWordDigits, is_6 = colon == 4 * kWordDigits;
  const auto port = is_4 || is_6 ? ParseHex(hex.substr(colon + 1)) : std::nullopt;
  if (!port) return hex;
  // Words of the address in the machine's order.
  unsigned char address[16] = {};
  for (size_t at = 0; at < colon; at += kWordDigits) {
    const auto word = ParseHex(hex.substr(at, kWordDigits));
    if (!word) return hex;
    std::memcpy(address + at / 2, &*word, sizeof *word);
  }
  char text[INET6_ADDRSTRLEN] = {};
  ::inet_ntop(is_4 ? AF_INET : AF_INET6, address, text, sizeof text);
  return fmt::format(fmt::runtime(is_4 ? "{}:{}" : "[{}]:{}"), text, *port);
}

std::chrono::steady_clock::time_point AcceptsUntil(int64_t deadline_unix_ms) {
  using std::chrono::milliseconds;
  milliseconds time{30000};
  if (deadline_unix_ms != 0) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const milliseconds left(deadline_unix_ms -
                            std::chrono::duration_cast<milliseconds>(now).count());
    time = std::min(time, left / 2);
  }
  return std::chrono::steady_clock::now() + time;
}

Status AwaitAccepts(const Pod& pod, std::chrono::steady_clock::time_point until,
                    const std::function<Status()>& may_go_on) {
  while (true) {
    if (pollfd end{.fd = pod.exit_fd().get(), .events = POLLIN}; ::poll(&end, 1, 0) > 0)
      return Fail(Code::kUnavailable, "the job's processes have ended");
    if (may_go_on) HOLDFAST_CHECK(may_go_on());
    HOLDFAST_TRY(const auto queues, FindQueues(pod));
    if (queues.empty()) return {};
    if (std::chrono::steady_clock::now() < until) {
      std::this_thread::sleep_for(kBetweenLooks);
      continue;
    }
    std::string who;
    for (const Queue& queue : queues)
      who += fmt::format("\n  why:  {} has not accepted {} connection{} at {}",
                         ProcessWith(pod, queue.inode), queue.waiting,
                         queue.waiting == 1 ? "" : "s", queue.address);
    return Fail(Code::kUnavailable,
                "connections wait to be accepted, which CRIU cannot save" + who +
                    "\n  next: save again when they have been accepted or closed");
  }
}

bool IsAboutAccepts(const Error& error) {
  return error.message().find("n-flight connection") != std::string::npos;
}

}  // namespace holdfast::warden
