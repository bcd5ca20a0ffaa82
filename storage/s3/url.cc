#include "storage/urls/bucket_url.h"
#include "storage/urls/urls.h"

namespace holdfast::storage::s3 {
namespace {

constexpr std::string_view kScheme = "s3://";
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
constexpr size_t kLongestBucket = 63;

}  // namespace

Result<BucketUrl> ParseLocation(std::string_view url) {
  return ParseBucketUrl(url, kScheme, kLongestBucket);
}

extern const UrlForm kUrlForm;
constinit const UrlForm kUrlForm{
    .accepted = "s3://BUCKET/PREFIX",
    .is_ours = [](std::string_view url) { return url.starts_with(kScheme); },
    .check = [](std::string_view url) -> Status {
      HOLDFAST_CHECK(ParseLocation(url));
      return {};
    }};

}  // namespace holdfast::storage::s3
