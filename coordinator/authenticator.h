// Who somebody is: MUNGE, or a test's stand-in. Thread-safe.
#pragma once

#include <string>

#include "base/result.h"
#include "protocol/munge.h"

namespace holdfast::coordinator {

class Authenticator {
 public:
  virtual ~Authenticator() = default;
  // As the functions of protocol/munge.h.
  virtual Result<std::string> Seal(const std::string& payload) { return protocol::Seal(payload); }
  virtual Result<protocol::Credential> Unseal(const std::string& credential) {
    return protocol::Unseal(credential);
  }
};

}  // namespace holdfast::coordinator
