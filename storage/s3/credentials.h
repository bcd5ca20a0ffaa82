// Who an S3 server thinks we are: access keys, from the first of
//   1. the file that the configuration names, in the form of ~/.aws/credentials,
//   2. AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN,
//   3. the file that AWS_SHARED_CREDENTIALS_FILE names,
//   4. the role of an EC2 machine, from its metadata server (IMDSv2: with a session token).
//
// Secrets are in memory only, and in no message or log. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/http_client.h"
#include "storage/remote/renewed.h"
#include "storage/s3/settings.h"

namespace holdfast::storage::s3 {

struct AccessKey {
  std::string id, secret;
  std::string session_token;  // empty: a key that does not expire
  bool operator==(const AccessKey&) const = default;
};

using Credentials = remote::Renewed<AccessKey>;

// The profile's key of a file's text; kNotFound or kInvalid.
Result<AccessKey> ParseCredentials(std::string_view text, const std::string& profile);
// The role of the machine. `url`: "http://169.254.169.254".
Result<remote::Fresh<AccessKey>> FetchFromMetadata(const std::string& url, http::Client& client);
// By the order above. Files must be this process's user's and nobody else's, and are read now.
// `client` must outlive the result.
Result<std::unique_ptr<Credentials>> FindCredentials(const Settings& settings,
                                                     http::Client& client);

}  // namespace holdfast::storage::s3
