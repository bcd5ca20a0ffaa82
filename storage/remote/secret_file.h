// Files of credentials. Thread-safe.
#pragma once

#include <string>

#include "base/result.h"

namespace holdfast::storage::remote {

// The text of a file that belongs to this process's user and that nobody else may read: kDenied
// otherwise. `what`: for messages.
Result<std::string> ReadSecretFile(const std::string& path, const std::string& what);

}  // namespace holdfast::storage::remote
