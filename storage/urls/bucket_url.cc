#include "storage/urls/bucket_url.h"

#include <algorithm>

namespace holdfast::storage {
namespace {

bool IsNamePart(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
         c == '_' || c == '.';
}

}  // namespace

Result<BucketUrl> ParseBucketUrl(std::string_view url, std::string_view scheme,
                                 size_t longest_bucket) {
  const auto bad = [&](const std::string& why) {
    return Fail(Code::kInvalid, why + "; write " + std::string(scheme) + "BUCKET/PREFIX");
  };
  if (!url.starts_with(scheme)) return bad("it is a URL of another kind");
  const std::string_view rest = url.substr(scheme.size());
  const std::string_view bucket = rest.substr(0, rest.find('/'));
  if (bucket.size() < 3 || bucket.size() > longest_bucket ||
      !std::ranges::all_of(bucket, IsNamePart))
    return bad("a bucket's name has 3 to " + std::to_string(longest_bucket) +
               " letters, digits, '-', '_' and '.'");
  std::string_view prefix = rest.substr(std::min(rest.size(), bucket.size() + 1));
  while (prefix.ends_with('/')) prefix.remove_suffix(1);
  const bool parts_fine = std::ranges::all_of(
      prefix, [](char c) { return IsNamePart(c) || std::string_view("/=+@~,").contains(c); });
  if (!parts_fine || prefix.starts_with('/') || prefix.contains("//") || prefix.size() > 512)
    return bad("a prefix has letters, digits and -_.=+@~, between single slashes, at most 512");
  return BucketUrl{.bucket = std::string(bucket), .prefix = std::string(prefix)};
}

}  // namespace holdfast::storage
