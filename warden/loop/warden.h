// holdfast-warden: one for each node of a job, root, started by the plugin beside the pod step's
// task.
#pragma once

namespace holdfast::warden {

// Returns the process's exit status. `environment` is what pod/warden_environment.h describes.
int RunWarden(const char* const* environment);

}  // namespace holdfast::warden
