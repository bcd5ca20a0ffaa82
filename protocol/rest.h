// What the command line and the coordinator's REST server have in common.
#pragma once

#include <string>
#include <string_view>

namespace holdfast::protocol {

// A request carries `Authorization: Munge CREDENTIAL`, the credential being over RestPurpose of
// that very request, so that one overheard opens nothing else; munged refuses to accept it twice.
inline constexpr std::string_view kRestScheme = "Munge ";

// "holdfast-rest METHOD TARGET HASH": TARGET is the path with its query, as in the request line;
// HASH is the BLAKE2b-256 of the body, in hex.
std::string RestPurpose(std::string_view method, std::string_view target, std::string_view body);

}  // namespace holdfast::protocol
