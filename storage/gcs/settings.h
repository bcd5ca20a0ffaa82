// What the site says about Cloud Storage; config/ has the same keys in its section `cloud`.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>

#include "config/config.h"

namespace holdfast::storage::gcs {

struct Settings {
  std::string endpoint = "https://storage.googleapis.com";
  std::string key_file;  // of a service account; see credentials.h for what follows if it is empty
  std::string ca_file;   // instead of the system's authorities
  std::string proxy;     // instead of https_proxy and no_proxy of the environment
  std::string metadata_url = "http://169.254.169.254";
  // How long an operation that makes no progress is tried again.
  std::chrono::seconds patience{120};
  // A transfer that moves nothing for so long is tried again.
  std::chrono::seconds stall_timeout{20};
  // What one request of a large upload carries. Cloud Storage wants a multiple of 256 KiB and
  // recommends at least 8 MiB (https://cloud.google.com/storage/docs/resumable-uploads).
  size_t chunk_bytes = 8 << 20;
  // What one request of a read fetches.
  size_t read_bytes = 4 << 20;
};

// As the site has them.
inline Settings SettingsOf(const config::Cloud& cloud) {
  Settings settings;
  settings.endpoint = cloud.endpoint;
  settings.key_file = cloud.credentials_file;
  settings.ca_file = cloud.ca_file;
  settings.proxy = cloud.proxy;
  if (!cloud.metadata_url.empty()) settings.metadata_url = cloud.metadata_url;
  settings.patience = cloud.patience;
  settings.stall_timeout = cloud.stall_timeout;
  return settings;
}

}  // namespace holdfast::storage::gcs
