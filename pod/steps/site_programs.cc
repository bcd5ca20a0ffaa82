#include "pod/steps/site_programs.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cerrno>

#include "base/files.h"
#include "pod/steps/say.h"
#include "pod/steps/values.h"

namespace holdfast::pod {

int BecomeSite(const std::string& name, const char* path,
               const std::vector<std::string>& arguments) {
  std::vector<char*> argv{const_cast<char*>(name.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  ::execv(path, argv.data());
  Say("error: the site's " + name + ", for what is not of this job: " + std::string(path) + ": " +
      ::strerror(errno));
  return EXIT_FAILURE;
}

std::optional<std::string> SlurmSetting(const std::string& name) {
  const char* const path = ::getenv("SLURM_CONF");
  const auto text = ReadFile(path ? path : "/etc/slurm/slurm.conf");
  if (!text) return std::nullopt;
  const std::string wanted = Lower(name) + "=";
  std::optional<std::string> value;
  for (const std::string& line : SplitAt(*text, '\n')) {
    if (!Lower(line).starts_with(wanted)) continue;
    value = line.substr(wanted.size());
    value->resize(value->find_last_not_of(" \t\r") + 1);
  }
  return value;
}

}  // namespace holdfast::pod
