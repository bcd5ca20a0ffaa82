// What holdfast.yaml says about the cloud, as storage and the watchers of notices take it.
#pragma once

#include "config/config.h"
#include "storage/gcs/settings.h"
#include "warden/notices/watcher.h"

namespace holdfast::warden {

storage::gcs::Settings CloudStorageSettings(const config::Config& config);
notices::Settings NoticeSettings(const config::Config& config);

}  // namespace holdfast::warden
