#include <unistd.h>

#include "spank-plugin/plugin.h"

namespace holdfast::spank {

Status SuperviseBatchStep(spank_t spank, const Site& site) {
  const std::string program = site.libexec + "/holdfast-batch";
  if (::access(program.c_str(), X_OK) != 0)
    return std::unexpected(Error::Errno(program).Wrap(
        "the job was submitted with --checkpoint, but this node cannot save it: install Holdfast "
        "here"));
  const char* argv[] = {program.c_str()};
  if (const spank_err_t error = spank_prepend_task_argv(spank, 1, argv); error != ESPANK_SUCCESS)
    return Fail(Code::kInternal, std::string("putting holdfast-batch in front of the script: ") +
                                     spank_strerror(error));
  return {};
}

}  // namespace holdfast::spank
