// What holdfast.yaml says about the cloud, as the watchers of notices take it.
#pragma once

#include "config/config.h"
#include "warden/notices/watcher.h"

namespace holdfast::warden {

notices::Settings NoticeSettings(const config::Config& config);

}  // namespace holdfast::warden
