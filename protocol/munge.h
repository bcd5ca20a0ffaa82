// MUNGE credentials: proof, to any node of the cluster, of who encoded a text. Thread-safe.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <string_view>

#include "base/result.h"

namespace holdfast::protocol {

// Bumped when a change cannot be made by adding fields.
inline constexpr unsigned kProtocolVersion = 1;

struct Credential {
  std::string payload;
  uid_t uid = 0;
  gid_t gid = 0;
};

// A credential of this process's effective user over `payload`. Fails with kUnavailable if munged
// does not answer.
Result<std::string> Seal(std::string_view payload);

// What a credential says, once: a replayed, expired or forged one fails with kDenied.
Result<Credential> Unseal(const std::string& credential);

// Unseal, and also: it must be of user `uid` over exactly `payload`.
Status Verify(const std::string& credential, uid_t uid, std::string_view payload);

// 32 random bytes in hex, for challenges.
std::string MakeNonce();

}  // namespace holdfast::protocol
