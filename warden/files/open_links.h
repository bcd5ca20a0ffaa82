// What /proc shows of the files that a process has open or mapped. Used by lent_names.cc and
// gone_names.cc. Thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"

namespace holdfast::warden {

// How /proc shows that a name is gone (proc_pid_fd(5)).
inline constexpr std::string_view kDeleted = " (deleted)";

// Links of /proc to all that the process has open or mapped. `process`: its directory.
inline std::vector<std::string> LinksOf(const std::string& process) {
  std::vector<std::string> links;
  for (const char* kind : {"/fd", "/map_files"})
    for (const std::string& name :
         ListDirectory(process + kind).value_or(std::vector<std::string>()))
      links.push_back(process + kind + "/" + name);
  return links;
}

}  // namespace holdfast::warden
