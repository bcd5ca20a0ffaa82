// Descriptors over Unix sockets (SCM_RIGHTS, unix(7)).
#pragma once

#include <cstddef>
#include <span>

#include "base/result.h"
#include "base/unique_fd.h"

namespace holdfast {

// All of `data`, which is not empty, and with it a duplicate of the descriptor.
Status SendWithDescriptor(const UniqueFd& socket, std::span<const std::byte> data,
                          const UniqueFd& descriptor);

struct Received {
  size_t size_bytes = 0;  // 0: the peer is gone
  UniqueFd descriptor;    // if one came
};
// What one recvmsg(2) gives, and at most one descriptor.
Result<Received> ReceiveWithDescriptor(const UniqueFd& socket, std::span<std::byte> out);

}  // namespace holdfast
