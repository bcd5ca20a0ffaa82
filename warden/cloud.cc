#include "warden/cloud.h"

namespace holdfast::warden {

storage::gcs::Settings CloudStorageSettings(const config::Config& config) {
  storage::gcs::Settings settings;
  settings.endpoint = config.cloud.endpoint;
  settings.key_file = config.cloud.credentials_file;
  settings.ca_file = config.cloud.ca_file;
  settings.proxy = config.cloud.proxy;
  if (!config.cloud.metadata_url.empty()) settings.metadata_url = config.cloud.metadata_url;
  settings.patience = config.cloud.patience;
  settings.stall_timeout = config.cloud.stall_timeout;
  return settings;
}

notices::Settings NoticeSettings(const config::Config& config) {
  notices::Settings settings;
  settings.provider = config.cloud.provider;
  settings.metadata_url = config.cloud.metadata_url;
  settings.notice_time = config.cloud.notice_time;
  return settings;
}

}  // namespace holdfast::warden
