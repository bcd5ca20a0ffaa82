#include "storage/site.h"

#include "storage/checkpoint.h"

namespace holdfast::storage {

static_assert(config::kAutomatic == kCompressionAuto);

gcs::Settings CloudSettings(const config::Config& config) {
  gcs::Settings settings;
  settings.endpoint = config.cloud.endpoint;
  settings.key_file = config.cloud.credentials_file;
  settings.ca_file = config.cloud.ca_file;
  settings.proxy = config.cloud.proxy;
  if (!config.cloud.metadata_url.empty()) settings.metadata_url = config.cloud.metadata_url;
  settings.patience = config.cloud.patience;
  settings.stall_timeout = config.cloud.stall_timeout;
  return settings;
}

Result<Keys> LoadKeys(const config::Config& config) {
  HOLDFAST_TRY(const SiteKey site, LoadSiteKey(config.node.key_file));
  EncryptionKeys encryption;
  if (const std::string& path = config.checkpoint.encryption_key_file; !path.empty()) {
    HOLDFAST_TRY(encryption, LoadEncryptionKeys(path));
  }
  return Keys(site, std::move(encryption));
}

}  // namespace holdfast::storage
