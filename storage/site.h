// What holdfast.yaml says, as storage takes it. Used by wardens and by `holdfast`.
#pragma once

#include "config/config.h"
#include "storage/keys.h"

namespace holdfast::storage {

inline const config::Cloud& CloudSettings(const config::Config& config) { return config.cloud; }
// All keys, for root.
Result<Keys> LoadKeys(const config::Config& config);

}  // namespace holdfast::storage
