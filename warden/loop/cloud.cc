#include "warden/loop/cloud.h"

namespace holdfast::warden {

notices::Settings NoticeSettings(const config::Config& config) {
  notices::Settings settings;
  settings.provider = config.cloud.provider;
  settings.metadata_url = config.cloud.metadata_url;
  settings.notice_time = config.cloud.notice_time;
  return settings;
}

}  // namespace holdfast::warden
