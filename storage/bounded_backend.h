// A back end whose calls come back in time, whatever becomes of what is behind it. A file server
// that is away lets whoever asks for a file wait in the kernel, for ever if need be; here that is a
// thread of its own, and the caller is told kTimeout and goes on. What such a call does when it
// comes back after all nobody hears of; as with a caller that was killed, it may have been done or
// not.
#pragma once

#include <memory>

#include "storage/backend.h"

namespace holdfast::storage {

// Without a limit (Backend::SetLimit) it waits as long as the other does.
std::unique_ptr<Backend> MakeBoundedBackend(std::shared_ptr<Backend> backend);

}  // namespace holdfast::storage
