// SCHEME://BUCKET/PREFIX, as the object stores have it. Pure, and libc only.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace holdfast::storage {

struct BucketUrl {
  std::string bucket;
  std::string prefix;  // without slashes at its ends; may be empty
};

// `scheme`: with its "://"; a bucket's name has 3 to `longest_bucket` characters. kInvalid says
// what is accepted instead.
Result<BucketUrl> ParseBucketUrl(std::string_view url, std::string_view scheme,
                                 size_t longest_bucket);

}  // namespace holdfast::storage
