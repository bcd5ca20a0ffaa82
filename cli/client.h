// The coordinator's REST API (docs/operations/rest-api.md), as this process's user. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "protocol/munge.h"

namespace httplib {
struct Response;
}

namespace holdfast::cli {

// What commands use; tests put a fake in its place. Both calls return the answer's body, or the
// coordinator's own error, or kUnavailable if there is no answer, or none that is proved to be the
// coordinator's: what is removed, and as whom, goes by it.
class Api {
 public:
  virtual ~Api() = default;
  virtual Result<nlohmann::json> Get(const std::string& target) = 0;
  virtual Result<nlohmann::json> Post(const std::string& target, const nlohmann::json& body) = 0;
};

// Of the caller, page by page.
Result<nlohmann::json> AllJobs(Api& api);

class Client : public Api {
 public:
  // Makes the credential over a text; protocol::Seal, but in tests.
  using Sealer = std::function<Result<std::string>(std::string_view)>;
  // Whether a credential is the coordinator's over that text.
  using Verifier = std::function<Status(const std::string& credential, const std::string& payload)>;
  // By MUNGE; `user` is the coordinator's.
  static Verifier OfUser(std::string user);

  // `patience`: how long an answer may take.
  Client(std::string host, uint16_t port, std::chrono::seconds patience, Verifier verify,
         Sealer seal = protocol::Seal)
      : host_(std::move(host)),
        port_(port),
        patience_(patience),
        verify_(std::move(verify)),
        seal_(std::move(seal)) {}

  Result<nlohmann::json> Get(const std::string& target) override;
  Result<nlohmann::json> Post(const std::string& target, const nlohmann::json& body) override;

 private:
  Result<nlohmann::json> Send(const std::string& method, const std::string& target,
                              const std::string& body);
  Status Proved(const std::string& credential, const httplib::Response& answer) const;

  std::string host_;
  uint16_t port_;
  std::chrono::seconds patience_;
  Verifier verify_;
  Sealer seal_;
};

}  // namespace holdfast::cli
