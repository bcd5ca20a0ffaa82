// Whether images ask for more than the job's user has. CRIU restores whatever ids, capabilities and
// labels its images name, as far as it may, so this is checked before CRIU sees them. The images
// have been authenticated by then, and CRIU runs as the user: this is one more lock on the door,
// for the day another one fails (images are not trusted).
//
// Used by restore.cc. Thread-safe as pure functions are.
#pragma once

#include <string>
#include <string_view>

#include "base/identity.h"
#include "base/result.h"

namespace holdfast::warden {

// kDenied, naming process and right, unless the image gives its process exactly the identity, no
// capability, and no security label but `label` ("" for none).
Status CheckCoreRights(const std::string& name, std::string_view contents, const Identity& owner,
                       const std::string& label);
// The same for a deleted file that CRIU makes anew.
Status CheckGhostRights(const std::string& name, std::string_view contents, const Identity& owner);

}  // namespace holdfast::warden
