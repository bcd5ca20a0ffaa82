// A filesystem that a test can fill.
#pragma once

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace holdfast {

// A tmpfs of 1 MiB on a directory, as long as this lives.
class TinyFilesystem {
 public:
  explicit TinyFilesystem(const std::string& path) : path_(path) {
    mounted_ = ::mount("tmpfs", path.c_str(), "tmpfs", 0, "size=1m,mode=0700") == 0;
  }
  ~TinyFilesystem() {
    if (mounted_) ::umount2(path_.c_str(), MNT_DETACH);
  }
  TinyFilesystem(const TinyFilesystem&) = delete;
  TinyFilesystem& operator=(const TinyFilesystem&) = delete;

  bool mounted() const { return mounted_; }
  void Fill() {
    const UniqueFd file(::open(filler().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    const std::vector<char> page(4096, 'x');
    while (::write(file.get(), page.data(), page.size()) > 0) {
    }
  }
  void Empty() { ::unlink(filler().c_str()); }

 private:
  std::string filler() const { return path_ + "/filler"; }
  const std::string path_;
  bool mounted_;
};

}  // namespace holdfast
