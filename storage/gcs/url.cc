#include "storage/urls/bucket_url.h"
#include "storage/urls/urls.h"

namespace holdfast::storage::gcs {
namespace {

constexpr std::string_view kScheme = "gs://";
// https://cloud.google.com/storage/docs/buckets#naming
constexpr size_t kLongestBucket = 222;

}  // namespace

Result<BucketUrl> ParseLocation(std::string_view url) {
  return ParseBucketUrl(url, kScheme, kLongestBucket);
}

extern const UrlForm kUrlForm;
constinit const UrlForm kUrlForm{
    .accepted = "gs://BUCKET/PREFIX",
    .is_ours = [](std::string_view url) { return url.starts_with(kScheme); },
    .check = [](std::string_view url) -> Status {
      HOLDFAST_CHECK(ParseLocation(url));
      return {};
    }};

}  // namespace holdfast::storage::gcs
