// Part of the library that `criu dump` is started with (LD_PRELOAD): its own linkat(2) and
// unlinkat(2), so that a dump puts no name into the user's directories.
//
// CRIU 4.2 gives a file whose name is gone, and which has another, a third one beside it
// ("link_remap.N"), and removes it at its end, if it comes to that. It is let believe that it has
// done so; warden/files/gone_names.h takes its records of these names out again. It calls linkat
// for nothing else in a dump. Needs libc alone.
#include <sys/syscall.h>
#include <unistd.h>

#include <string_view>

namespace {

bool IsLinkRemap(std::string_view path) {
  return path.substr(path.rfind('/') + 1).starts_with("link_remap.");
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int linkat(int old_directory,
                                                             const char* old_path,
                                                             int new_directory,
                                                             const char* new_path,
                                                             int flags) noexcept {
  if (IsLinkRemap(new_path)) return 0;
  return static_cast<int>(
      ::syscall(SYS_linkat, old_directory, old_path, new_directory, new_path, flags));
}

extern "C" __attribute__((visibility("default"))) int unlinkat(int directory, const char* path,
                                                               int flags) noexcept {
  if (IsLinkRemap(path)) return 0;
  return static_cast<int>(::syscall(SYS_unlinkat, directory, path, flags));
}
