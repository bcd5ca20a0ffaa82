#include "coordinator/rest_token.h"

#include <fmt/format.h>
#include <jwt.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <string_view>

#include "base/files.h"

namespace holdfast::coordinator {
namespace {

struct Free {
  void operator()(jwt_t* token) const { jwt_free(token); }
};
using Jwt = std::unique_ptr<jwt_t, Free>;

// Without a key it is only taken apart.
Jwt Decode(const std::string& token, const std::string& key) {
  jwt_t* decoded = nullptr;
  const auto* bytes = key.empty() ? nullptr : reinterpret_cast<const unsigned char*>(key.data());
  if (jwt_decode(&decoded, token.c_str(), bytes, static_cast<int>(key.size())) != 0) return {};
  return Jwt(decoded);
}

}  // namespace

Result<std::string> LoadTokenKey(const std::string& path) {
  struct stat status = {};
  if (::stat(path.c_str(), &status) != 0) return FailErrno("rest.jwt_key: " + path);
  if ((status.st_mode & S_IRWXO) != 0)
    return Fail(
        Code::kDenied,
        fmt::format("rest.jwt_key: {0} may be used by anybody\n  next: chmod o= {0}", path));
  HOLDFAST_TRY(std::string key, ReadFile(path));
  if (key.empty()) return Fail(Code::kInvalid, fmt::format("rest.jwt_key: {} is empty", path));
  return key;
}

std::expected<Token, TokenFault> ReadToken(const std::string& token, const std::string& key,
                                           int64_t now) {
  const auto fault = [](const char* code, std::string message) {
    return std::unexpected(TokenFault{code, std::move(message)});
  };
  const Jwt claimed = Decode(token, "");
  if (!claimed) return fault("token-malformed", "the token is no JSON web token");
  // Before the key is used: with another algorithm the same bytes could be a public key's.
  const char* algorithm = jwt_get_header(claimed.get(), "alg");
  if (algorithm == nullptr || std::string_view(algorithm) != "HS256")
    return fault("token-algorithm",
                 fmt::format("the token is said to be signed with {}; HS256 alone is accepted",
                             algorithm == nullptr ? "nothing" : algorithm));
  const Jwt verified = Decode(token, key);
  if (!verified || jwt_get_alg(verified.get()) != JWT_ALG_HS256)
    return fault("token-signature", "the token is not signed with this cluster's key");
  errno = 0;
  const int64_t expires = jwt_get_grant_int(verified.get(), "exp");
  if (errno != 0 || expires == 0)
    return fault("token-no-expiry", "the token does not say until when it is good (exp)");
  if (expires < now)
    return fault("token-expired", fmt::format("the token expired {} s ago", now - expires));
  // In Slurm's order.
  const char* user = jwt_get_grant(verified.get(), "sun");
  if (user == nullptr) user = jwt_get_grant(verified.get(), "username");
  if (user == nullptr || *user == '\0')
    return fault("token-no-user", "the token does not say whose it is (sun)");
  return Token{.user = user, .expires = expires};
}

}  // namespace holdfast::coordinator
