// Amazon S3, and servers that speak its protocol: objects BUCKET/PREFIX/JOB/KEY.
//
// Objects become visible whole, and only under the condition that the name is free
// (If-None-Match: *): that is what makes a manifest the commit. A server that does not know that
// condition is refused when a job's place is prepared. Rights: the bucket knows the site's key, not
// the job's user, so what keeps users apart is the job number in every name and the authenticated
// manifest (docs/operations/s3.md).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "storage/backend.h"
#include "storage/registry.h"
#include "storage/s3/settings.h"
#include "storage/urls/bucket_url.h"

namespace holdfast::storage::s3 {

// "s3://bucket/some/prefix": its two parts, or kInvalid.
Result<BucketUrl> ParseLocation(std::string_view url);

// Of a list's page (storage/remote/listing.h); the objects' keys are without `root`.
Result<std::string> ReadPage(const std::string& body, const std::string& root,
                             std::vector<ObjectInfo>& objects);

// The objects of `job` below `url`. Reads the credentials, which are the site's, with this
// process's own rights; touches no network.
Result<std::unique_ptr<Backend>> MakeS3Backend(const std::string& url, const std::string& job,
                                               const Settings& settings);
Result<std::unique_ptr<Backend>> Open(const JobPlace& place, const config::Cloud& cloud);

}  // namespace holdfast::storage::s3
