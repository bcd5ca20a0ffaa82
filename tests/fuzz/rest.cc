// The REST server as a stranger and as a user meet it, over a real connection. A first byte of 0:
// the rest is what is sent. Otherwise: method, path and body, a NUL apart, with the credential of
// the job's user or of another.
#include "protocol/rest.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/unique_fd.h"
#include "coordinator/controller.h"
#include "coordinator/journal.h"
#include "coordinator/rest_server.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/coordinator/fakes.h"

namespace holdfast::fuzz {

using namespace coordinator;

namespace {

constexpr uid_t kUser = 1000, kOther = 1001;

// "UID:PAYLOAD", as often as anybody likes.
class Lenient final : public Authenticator {
 public:
  Result<protocol::Credential> Unseal(const std::string& credential) override {
    const size_t colon = credential.find(':');
    if (colon == std::string::npos) return Fail(Code::kDenied, "munge: invalid credential");
    return protocol::Credential{.payload = credential.substr(colon + 1),
                                .uid = credential.starts_with("1000:") ? kUser : kOther};
  }
};

class Deaf final : public WardenLink {
 public:
  void Send(std::shared_ptr<const v1::ToWarden>) override {}
  void Close() override {}
};

struct Server {
  Server() {
    char name[] = "/tmp/fuzz-rest.XXXXXX";
    directory = ::mkdtemp(name);
    journal = std::move(*Journal::Open(directory + "/journal.db"));
    slurm.Run(7, kUser, {"n1"});
    controller = std::make_unique<Controller>(Controller::Options{}, *journal, slurm, metrics);
    Must(controller->Start().has_value(), "the coordinator starts");
    (void)controller->Attach(MakeHello(7, 0, 0, {"n1"}, kUser), std::make_shared<Deaf>());
    rest = std::make_unique<RestServer>(*controller, slurm, authenticator, metrics);
    Must(rest->Listen("127.0.0.1", 0).has_value(), "it listens");
  }
  ~Server() {
    rest.reset();
    controller.reset();
    std::filesystem::remove_all(directory);
  }

  std::string directory;
  Metrics metrics;
  FakeSlurm slurm;
  Lenient authenticator;
  std::unique_ptr<Journal> journal;
  std::unique_ptr<Controller> controller;
  std::unique_ptr<RestServer> rest;
};

std::string Part(std::string_view& bytes) {
  const size_t end = std::min(bytes.find('\0'), bytes.size());
  std::string part(bytes.substr(0, end));
  bytes.remove_prefix(std::min(end + 1, bytes.size()));
  return part;
}

std::string Request(uid_t uid, std::string_view bytes) {
  const std::string method = Part(bytes), path = Part(bytes), body(bytes);
  return method + " " + path + " HTTP/1.1\r\nAuthorization: Munge " + std::to_string(uid) + ":" +
         protocol::RestPurpose(method, path, body) +
         "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

// What comes back until the server closes.
std::string Ask(int port, const std::string& request) {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address{.sin_family = AF_INET,
                            .sin_port = htons(static_cast<uint16_t>(port)),
                            .sin_addr = {htonl(INADDR_LOOPBACK)},
                            .sin_zero = {}};
  // Reset when it is closed: thousands of them are made in a second.
  const linger now{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return "";
  (void)::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL);
  ::shutdown(socket.get(), SHUT_WR);
  std::string answer;
  char buffer[4096];
  for (ssize_t size = 0; (size = ::recv(socket.get(), buffer, sizeof buffer, 0)) > 0;)
    answer.append(buffer, static_cast<size_t>(size));
  return answer;
}

}  // namespace

void Feed(std::string_view bytes) {
  static Server server;
  const size_t who = Choose(bytes, 3);
  const std::string answer =
      Ask(server.rest->port(),
          who == 0 ? std::string(bytes) : Request(who == 1 ? kUser : kOther, bytes));
  if (who != 1) Must(!answer.contains("\"uid\":1000"), "nobody else sees the job");
}

std::vector<std::string> Seeds() {
  std::vector<std::string> seeds = {
      std::string(1, '\0') + "GET /v1/health HTTP/1.1\r\nHost: ctl\r\n\r\n",
      std::string(1, '\0') + "POST /v1/jobs/7/save?wait=1 HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
      std::string(1, '\0') +
          "POST /v1/jobs/7/save HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
  };
  using namespace std::string_literals;
  for (const std::string& request :
       {"GET\0/v1/jobs\0"s, "GET\0/v1/jobs/7\0"s, "POST\0/v1/jobs/7/save?wait=0\0{\"stop\":true}"s,
        "POST\0/v1/jobs/7/migrate\0{\"exclude\":[\"n1\"]}"s,
        "POST\0/v1/jobs/7/resume\0{\"checkpoint\":1,\"from_start\":false,\"exclude\":[]}"s,
        "POST\0/v1/jobs/7/removed\0{\"checkpoints\":[1],\"all\":false}"s, "GET\0/v1/expired\0"s,
        "GET\0/metrics\0"s, "POST\0/v1/nodes/n1/evacuate\0{\"reason\":\"x\"}"s})
    for (const char who : {'\1', '\2'}) seeds.push_back(who + request);
  return seeds;
}

}  // namespace holdfast::fuzz
