#include <dlfcn.h>

#include <string_view>

#include "spank-plugin/plugin.h"

namespace holdfast::spank {

Result<Site> ParseSite(int argc, char** argv) {
  Site site;
  for (int i = 0; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const size_t equals = argument.find('=');
    const std::string_view name = argument.substr(0, equals);
    std::string* const target = name == "libexec"  ? &site.libexec
                                : name == "config" ? &site.config
                                                   : nullptr;
    if (target == nullptr || equals == std::string_view::npos || argument[equals + 1] != '/')
      return Fail(Code::kInvalid, "plugstack.conf: argument '" + std::string(argument) +
                                      "' of holdfast.so: accepted are libexec=/DIRECTORY and "
                                      "config=/FILE");
    *target = argument.substr(equals + 1);
  }
  return site;
}

// Slurm exports it (src/common/read_config.h).
const slurm_conf_t* SlurmConfiguration() {
  return static_cast<const slurm_conf_t*>(::dlsym(RTLD_DEFAULT, "slurm_conf"));
}

}  // namespace holdfast::spank
