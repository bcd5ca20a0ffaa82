#include "protocol/munge.h"

#include <fmt/format.h>
#include <munge.h>
#include <sys/random.h>

#include <cstdlib>
#include <memory>

namespace holdfast::protocol {
namespace {

Error MungeError(std::string_view operation, munge_err_t error) {
  // A clock that has been stepped says nothing against who sent it.
  const bool clocks = error == EMUNGE_CRED_EXPIRED || error == EMUNGE_CRED_REWOUND;
  const bool away = error == EMUNGE_SOCKET;
  return Error(clocks || away ? Code::kUnavailable : Code::kDenied,
               fmt::format("{}: munge: {}{}", operation, munge_strerror(error),
                           away     ? "; is munged running on this node?"
                           : clocks ? "; do the clocks of the nodes agree?"
                                    : ""));
}

}  // namespace

Result<std::string> Seal(std::string_view payload) {
  char* credential = nullptr;
  const munge_err_t error =
      munge_encode(&credential, nullptr, payload.data(), static_cast<int>(payload.size()));
  const std::unique_ptr<char, decltype(&std::free)> owner(credential, std::free);
  if (error != EMUNGE_SUCCESS) return std::unexpected(MungeError("making a credential", error));
  return std::string(credential);
}

Result<Credential> Unseal(const std::string& credential) {
  void* payload = nullptr;
  int size = 0;
  Credential result;
  const munge_err_t error =
      munge_decode(credential.c_str(), nullptr, &payload, &size, &result.uid, &result.gid);
  const std::unique_ptr<void, decltype(&std::free)> owner(payload, std::free);
  if (error != EMUNGE_SUCCESS) return std::unexpected(MungeError("checking a credential", error));
  result.payload.assign(static_cast<const char*>(payload), static_cast<size_t>(size));
  return result;
}

Status Verify(const std::string& credential, uid_t uid, std::string_view payload) {
  HOLDFAST_TRY(const Credential sealed, Unseal(credential));
  if (sealed.uid != uid)
    return Fail(Code::kDenied,
                fmt::format("the credential is of uid {}, not of uid {}", sealed.uid, uid));
  if (sealed.payload != payload)
    return Fail(Code::kDenied, "the credential was made for another purpose");
  return {};
}

std::string MakeNonce() {
  unsigned char bytes[32];
  // At most 256 bytes are never short or interrupted: getrandom(2).
  if (::getrandom(bytes, sizeof bytes, 0) != sizeof bytes) std::abort();
  std::string nonce;
  for (const unsigned char byte : bytes) nonce += fmt::format("{:02x}", byte);
  return nonce;
}

}  // namespace holdfast::protocol
