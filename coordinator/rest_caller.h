// Who sends a request: by MUNGE within the cluster, or by a token of Slurm's. Used by rest_*.cc.
// Thread-safe.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/result.h"
#include "coordinator/authenticator.h"
#include "coordinator/rest_answer.h"
#include "coordinator/rest_public.h"

namespace holdfast::coordinator {

struct Caller {
  uid_t uid = 0;
  const char* by = "munge";  // or token
  int64_t expires = 0;       // unix seconds; 0: what proves it is for this request alone
};

// nullopt: the user database has none.
std::optional<uid_t> UidOf(const std::string& user);
std::optional<std::string> UserOf(uid_t uid);

class RestCallers {
 public:
  // Both must outlive it.
  RestCallers(Authenticator& authenticator, RestPublic& cluster)
      : authenticator_(authenticator), cluster_(cluster) {}

  // What tokens are signed with; empty: none is accepted.
  void AcceptTokens(std::string key);
  // `confidential`: nobody can have read the request on its way.
  std::expected<Caller, Refusal> Identify(const httplib::Request& request, bool confidential);
  // So that who asked by MUNGE knows that the answer is the coordinator's, and to this request. A
  // token is sent over TLS, which has proved it before.
  void Prove(const httplib::Request& request, httplib::Response& response);

 private:
  Result<uid_t> ByMunge(const httplib::Request& request);
  std::expected<Caller, Refusal> ByToken(const httplib::Request& request, bool confidential);

  Authenticator& authenticator_;
  RestPublic& cluster_;
  std::mutex mutex_;
  std::string key_;
};

}  // namespace holdfast::coordinator
