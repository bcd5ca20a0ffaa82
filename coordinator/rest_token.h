// The tokens of Slurm's auth/jwt, as `scontrol token` makes them: HS256 with the cluster's
// jwt_hs256.key, the user's name in `sun`, the end in `exp`. Pure, but for reading the key.
#pragma once

#include <cstdint>
#include <expected>
#include <string>

#include "base/result.h"

namespace holdfast::coordinator {

// The key's bytes. As slurmctld does, it refuses a file that anybody may read.
Result<std::string> LoadTokenKey(const std::string& path);

struct Token {
  std::string user;
  int64_t expires = 0;  // unix seconds
};
struct TokenFault {
  const char* code;  // for programs: docs/operations/rest-api.md lists them
  std::string message;
};
std::expected<Token, TokenFault> ReadToken(const std::string& token, const std::string& key,
                                           int64_t now);

}  // namespace holdfast::coordinator
