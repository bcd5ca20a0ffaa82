// Who Cloud Storage thinks we are: OAuth 2 access tokens, from the first of
//   1. the service account key that the configuration names,
//   2. the one that GOOGLE_APPLICATION_CREDENTIALS names,
//   3. nothing, if STORAGE_EMULATOR_HOST is set: a machine's token is not for an emulator,
//   4. the metadata server of a Google Compute Engine machine.
//
// Tokens and keys are in memory only, and in no message or log. Thread-safe.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/http_client.h"
#include "storage/remote/renewed.h"

namespace holdfast::storage::gcs {

struct Token {
  std::string text;
  std::chrono::seconds lifetime{0};
};

// Where tokens come from. Called by one thread at a time.
class TokenSource {
 public:
  virtual ~TokenSource() = default;
  virtual Result<Token> Fetch() = 0;
};

class Credentials {
 public:
  // Without a source: no credentials are needed.
  explicit Credentials(std::unique_ptr<TokenSource> source)
      : source_(std::move(source)), tokens_([this] { return Fetch(); }) {}

  // The value of the Authorization header, or "".
  Result<std::string> Authorization() { return source_ == nullptr ? std::string() : tokens_.Get(); }
  // The server did not take it (401): the next call fetches a new one.
  void Reject(const std::string& authorization) { tokens_.Reject(authorization); }

 private:
  Result<remote::Fresh<std::string>> Fetch() {
    HOLDFAST_TRY(const Token token, source_->Fetch());
    return remote::Fresh<std::string>{.value = "Bearer " + token.text, .lifetime = token.lifetime};
  }

  const std::unique_ptr<TokenSource> source_;
  remote::Renewed<std::string> tokens_;
};

// Signs a JWT with the key (RS256) and exchanges it (RFC 7523) at the token_uri in the file. The
// file must belong to this process's user and nobody else may read it: kDenied otherwise. It is
// read now, with the calling thread's identity.
Result<std::unique_ptr<TokenSource>> ServiceAccountTokens(const std::string& path,
                                                          http::Client& client);
// Tokens of the machine's default service account. `url`: "http://169.254.169.254".
std::unique_ptr<TokenSource> MetadataTokens(std::string url, http::Client& client);

// By the order above. `key_file` may be empty. `client` must outlive the result.
Result<std::unique_ptr<Credentials>> FindCredentials(const std::string& key_file,
                                                     const std::string& metadata_url,
                                                     http::Client& client);

}  // namespace holdfast::storage::gcs
