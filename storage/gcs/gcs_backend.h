// Google Cloud Storage: objects BUCKET/PREFIX/JOB/KEY, over the JSON API.
//
// Objects become visible whole, and only under the condition that the name is free
// (ifGenerationMatch=0): that is what makes a manifest the commit. Rights: the bucket knows the
// site's service account, not the job's user, so what keeps users apart is the job number in every
// name and the authenticated manifest (docs/operations/gcp.md).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "storage/backend.h"
#include "storage/gcs/settings.h"
#include "storage/registry.h"
#include "storage/urls/bucket_url.h"

namespace holdfast::storage::gcs {

// "gs://bucket/some/prefix": its two parts, or kInvalid.
Result<BucketUrl> ParseLocation(std::string_view url);

// Of a list's page (storage/remote/listing.h); the objects' keys are without `root`.
Result<std::string> ReadPage(const std::string& body, const std::string& root,
                             std::vector<ObjectInfo>& objects);

// The objects of `job` below `url`. Reads the credentials, which are the site's, with this
// process's own rights; touches no network.
Result<std::unique_ptr<Backend>> MakeGcsBackend(const std::string& url, const std::string& job,
                                                Settings settings);
Result<std::unique_ptr<Backend>> Open(const JobPlace& place, const config::Cloud& cloud);

}  // namespace holdfast::storage::gcs
