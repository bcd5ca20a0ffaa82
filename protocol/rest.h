// What the command line and the coordinator's REST server have in common.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace holdfast::protocol {

// A request carries `Authorization: Munge CREDENTIAL`, the credential being over RestPurpose of
// that very request, so that one overheard opens nothing else; munged refuses to accept it twice.
inline constexpr std::string_view kRestScheme = "Munge ";

// "holdfast-rest METHOD TARGET HASH": TARGET is the path with its query, as in the request line;
// HASH is the BLAKE2b-256 of the body, in hex.
std::string RestPurpose(std::string_view method, std::string_view target, std::string_view body);

// An answer to such a request carries `Holdfast-Proof: Munge CREDENTIAL`, of the coordinator's user
// over AnswerPurpose of it and of the request's credential: nobody else can give it, nor again.
inline constexpr const char* kRestProof = "Holdfast-Proof";

// "holdfast-rest-answer STATUS HASH": HASH is the BLAKE2b-256, in hex, of the request's credential,
// a newline and the body.
std::string AnswerPurpose(std::string_view credential, int status, std::string_view body);

// The text of a JSON value, for people and their programs. What it quotes (paths, other programs'
// words) are bytes, and JSON has only characters: those that are none become U+FFFD. `indent`: of
// lines; -1: all in one.
std::string ToText(const nlohmann::json& value, int indent = -1);

}  // namespace holdfast::protocol
