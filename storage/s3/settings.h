// What the site says about S3; config/ has the same keys in its section `cloud`.
#pragma once

#include <string>

#include "config/config.h"
#include "storage/remote/service.h"

namespace holdfast::storage::s3 {

struct Settings {
  std::string endpoint;          // empty: Amazon's of the region
  std::string region;            // empty: of the environment, or us-east-1
  std::string credentials_file;  // see credentials.h for what follows if it is empty
  std::string profile = "default";
  std::string ca_file;  // instead of the system's authorities
  std::string proxy;    // instead of https_proxy and no_proxy of the environment
  std::string metadata_url = "http://169.254.169.254";
  remote::Limits limits;
  // What one request of a large upload carries: at least 5 MiB, and at most 10,000 for an object
  // (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html). A multiple of what one
  // request of a read fetches, so that checksums of blocks make those of parts.
  size_t part_bytes = 8 << 20;
};

// As the site has them.
inline Settings SettingsOf(const config::Cloud& cloud) {
  Settings settings;
  settings.endpoint = cloud.s3_endpoint;
  settings.region = cloud.s3_region;
  settings.credentials_file = cloud.s3_credentials_file;
  settings.profile = cloud.s3_profile;
  settings.ca_file = cloud.ca_file;
  settings.proxy = cloud.proxy;
  if (!cloud.metadata_url.empty()) settings.metadata_url = cloud.metadata_url;
  settings.limits.patience = cloud.patience;
  settings.limits.stall_timeout = cloud.stall_timeout;
  return settings;
}

}  // namespace holdfast::storage::s3
