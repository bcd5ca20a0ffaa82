// Signature Version 4 as Amazon publishes it, to check what clients sign
// (https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html). Pure.
#pragma once

#include <map>
#include <string>

#include "tests/fakes/http_server.h"

namespace holdfast::fakes {

// The error code that S3 would answer, or "" if the request is signed by one of the keys
// (id to secret) over this region and this body.
std::string CheckSignature(const Exchange& exchange, const std::string& body,
                           const std::map<std::string, std::string>& keys,
                           const std::string& region);

std::string Sha256Hex(std::string_view data);

}  // namespace holdfast::fakes
