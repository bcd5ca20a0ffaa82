#include "storage/remote/secret_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"

namespace holdfast::storage::remote {

Result<std::string> ReadSecretFile(const std::string& path, const std::string& what) {
  HOLDFAST_TRY(const UniqueFd file, OpenFile(path, O_RDONLY));
  struct stat status = {};
  if (::fstat(file.get(), &status) != 0) return FailErrno(what);
  if (status.st_uid != ::geteuid() || (status.st_mode & 077) != 0)
    return Fail(Code::kDenied,
                fmt::format("{}: others may read or change it; chown it to uid {} and chmod it to "
                            "0400",
                            what, ::geteuid()));
  return ReadAll(file);
}

}  // namespace holdfast::storage::remote
