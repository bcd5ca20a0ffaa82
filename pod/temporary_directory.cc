#include "pod/temporary_directory.h"

#include <string_view>

#include "base/files.h"

namespace holdfast::pod {

void MakeTemporaryDirectory(const std::vector<std::string>& environment) {
  constexpr std::string_view kName = "TMPDIR=/";
  for (const std::string& variable : environment)
    if (variable.starts_with(kName)) [[maybe_unused]]
      const Status made = MakeDirectories(variable.substr(kName.size() - 1), 0700);
}

}  // namespace holdfast::pod
