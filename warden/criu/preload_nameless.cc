// Part of the library that `criu restore` is started with (LD_PRELOAD): its own open(2), by which
// files that never had a name (warden/files/nameless.h) come back as such.
//
// CRIU 4.2 makes a file whose name is gone anew as NAME.cr.N.ghost, gives it its old name whenever
// it is to be opened, and removes both in the end. Here what it makes is a symbolic link to a file
// of the warden's without a name, which CRIU has open; it writes into that file, and opens it by
// the link. Needs libc alone.
#include "warden/criu/preload_nameless.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace holdfast::warden {
namespace {

// Of CRIU itself, which the restored processes are forked from.
const pid_t criu = ::getpid();

// The descriptor of CRIU's for the file that is to be made at `path`; -1 if there is none.
int DescriptorFor(std::string_view path) {
  constexpr std::string_view kBegin = ".cr.", kEnd = ".ghost";
  const char* const list = std::getenv(kNamelessVariable);
  if (list == nullptr || !path.ends_with(kEnd)) return -1;
  path.remove_suffix(kEnd.size());
  const size_t at = path.rfind(kBegin);
  if (at == std::string_view::npos) return -1;
  const std::string_view ghost = path.substr(at + kBegin.size());
  int fd = kFirstNamelessFd;
  for (std::string_view rest = list; !rest.empty(); ++fd) {
    const std::string_view one = rest.substr(0, rest.find(','));
    if (one == ghost) return fd;
    rest.remove_prefix(one.size() < rest.size() ? one.size() + 1 : one.size());
  }
  return -1;
}

}  // namespace
}  // namespace holdfast::warden

extern "C" __attribute__((visibility("default"))) int open64(const char* path, int flags, ...) {
  static const auto next = reinterpret_cast<decltype(&::open64)>(::dlsym(RTLD_NEXT, "open64"));
  mode_t mode = 0;
  if ((flags & O_CREAT) != 0) {
    va_list arguments;
    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
  }
  const int fd = (flags & O_CREAT) != 0 ? holdfast::warden::DescriptorFor(path) : -1;
  if (fd < 0) return next(path, flags, mode);
  char file[48];
  std::snprintf(file, sizeof file, "/proc/%d/fd/%d", holdfast::warden::criu, fd);
  if (::symlink(file, path) != 0) return -1;
  return next(file, flags & ~(O_CREAT | O_EXCL), 0);
}
