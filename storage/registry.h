// Which back end serves a URL: those of backends.inc, each opened by the function of its folder
//
//   Result<std::unique_ptr<Backend>> NAME::Open(const JobPlace&, const config::Cloud&)
//
// Used by JobStore::Open. Immutable, so thread-safe.
#pragma once

#include <memory>
#include <string>

#include "base/identity.h"
#include "config/config.h"
#include "storage/backend.h"

namespace holdfast::storage {

// What a back end serves: the objects of a job below a URL that is one of its own (urls/urls.h).
struct JobPlace {
  std::string url;
  std::string job;
  Identity owner;
};

// kInvalid names what is accepted if no back end can serve the URL. Credentials, which are the
// site's, are read now, with this process's own rights; nothing is created and no network touched.
Result<std::unique_ptr<Backend>> OpenBackend(const JobPlace& place, const config::Cloud& settings);

}  // namespace holdfast::storage
