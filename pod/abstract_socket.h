// The way from holdfast-batch to the pod step's task on the same node: a unix socket without a
// file, under a name that nobody can guess, between processes of one user only.
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace holdfast::pod {

Result<UniqueFd> ListenAbstract(const std::string& name);
// An invalid descriptor if it was another user who connected.
Result<UniqueFd> AcceptAbstract(const UniqueFd& listener);
// kDenied if another user listens there.
Result<UniqueFd> ConnectAbstract(const std::string& name);

}  // namespace holdfast::pod
