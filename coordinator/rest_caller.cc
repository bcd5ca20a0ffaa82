#include "coordinator/rest_caller.h"

#include <fmt/format.h>
#include <grp.h>
#include <httplib.h>
#include <pwd.h>

#include <array>
#include <ctime>

#include "base/log.h"
#include "coordinator/rest_token.h"
#include "protocol/rest.h"

namespace holdfast::coordinator {
namespace {

constexpr const char* kTokenHeader = "X-SLURM-USER-TOKEN";
constexpr const char* kNameHeader = "X-SLURM-USER-NAME";

Refusal Unknown(std::string code, std::string message, std::string next) {
  return {.status = 401,
          .code = std::move(code),
          .message = std::move(message),
          .next = std::move(next)};
}

}  // namespace

std::optional<uid_t> UidOf(const std::string& user) {
  std::array<char, 16384> buffer;
  passwd entry = {};
  passwd* found = nullptr;
  if (::getpwnam_r(user.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 || !found)
    return std::nullopt;
  return found->pw_uid;
}

std::optional<std::string> UserOf(uid_t uid) {
  std::array<char, 16384> buffer;
  passwd entry = {};
  passwd* found = nullptr;
  if (::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) != 0 || !found)
    return std::nullopt;
  return found->pw_name;
}

void RestCallers::AcceptTokens(std::string key) {
  const std::lock_guard lock(mutex_);
  key_ = std::move(key);
}

std::expected<Caller, Refusal> RestCallers::Identify(const httplib::Request& request,
                                                     bool confidential) {
  if (request.has_header(kTokenHeader)) return ByToken(request, confidential);
  const Result<uid_t> uid = ByMunge(request);
  if (uid) return Caller{.uid = *uid};
  if (uid.error().code() == Code::kDenied)
    return std::unexpected(
        Unknown("denied", uid.error().message(),
                "check that munged runs here and that the clocks agree: holdfast doctor"));
  return std::unexpected(Refusal{.status = 503,
                                 .code = std::string(CodeName(uid.error().code())),
                                 .message = uid.error().message(),
                                 .next = "try again in a moment"});
}

Result<uid_t> RestCallers::ByMunge(const httplib::Request& request) {
  const std::string header = request.get_header_value("Authorization");
  if (!header.starts_with(protocol::kRestScheme))
    return Fail(Code::kDenied,
                "the request carries neither 'Authorization: Munge CREDENTIAL' nor "
                "'X-SLURM-USER-TOKEN: TOKEN'");
  HOLDFAST_TRY(const protocol::Credential credential,
               authenticator_.Unseal(header.substr(protocol::kRestScheme.size())));
  if (credential.payload != protocol::RestPurpose(request.method, request.target, request.body))
    return Fail(Code::kDenied, "the credential was made for another request");
  return credential.uid;
}

std::expected<Caller, Refusal> RestCallers::ByToken(const httplib::Request& request,
                                                    bool confidential) {
  const auto refuse = [](const char* code, std::string message, std::string next) {
    return std::unexpected(Unknown(code, std::move(message), std::move(next)));
  };
  if (!confidential)
    return refuse("token-in-clear", "a token came over a connection that is not encrypted",
                  "ask by https, and get another token: this one can have been read");
  std::string key;
  {
    const std::lock_guard lock(mutex_);
    key = key_;
  }
  if (key.empty())
    return refuse("token-not-accepted", "this coordinator accepts no tokens",
                  "ask with a MUNGE credential; a site sets rest.jwt_key");
  const auto token = ReadToken(request.get_header_value(kTokenHeader), key, std::time(nullptr));
  if (!token) return refuse(token.error().code, token.error().message, "scontrol token");
  const std::optional<uid_t> owner = UidOf(token->user);
  if (!owner)
    return refuse("token-user-unknown",
                  fmt::format("the token's user {} is not known here", token->user), "");
  std::string name = request.get_header_value(kNameHeader);
  if (name.empty() || name == token->user)
    return Caller{.uid = *owner, .by = "token", .expires = token->expires};
  // As Slurm's auth/jwt: its own user and root speak for others.
  const Result<Cluster> cluster = cluster_.GetCluster();
  if (*owner != 0 && !(cluster && cluster->slurm_user == *owner))
    return refuse("token-user-mismatch",
                  fmt::format("{}: the token is of {}, and the request names {}", kNameHeader,
                              token->user, name),
                  "leave the header out");
  const std::optional<uid_t> other = UidOf(name);
  if (!other)
    return refuse("token-user-unknown", fmt::format("the user {} is not known here", name), "");
  return Caller{.uid = *other, .by = "token", .expires = token->expires};
}

void RestCallers::Prove(const httplib::Request& request, httplib::Response& response) {
  const std::string header = request.get_header_value("Authorization");
  if (!header.starts_with(protocol::kRestScheme)) return;
  const Result<std::string> proof = authenticator_.Seal(protocol::AnswerPurpose(
      header.substr(protocol::kRestScheme.size()), response.status, response.body));
  // Who asked does not believe an answer without one.
  if (!proof) return log::Failure("answer", proof.error());
  response.set_header(protocol::kRestProof, std::string(protocol::kRestScheme) + *proof);
}

}  // namespace holdfast::coordinator
