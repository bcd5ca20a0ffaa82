// Directories that are not empty are not descended into: they are moved up to the top of the tree,
// and swept when their turn comes. So no more than two are ever open, and no list of names is kept.
#include "warden/isolation/removal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "base/files.h"

namespace holdfast::warden {
namespace {

using Clock = std::chrono::steady_clock;
using Directory = std::unique_ptr<DIR, int (*)(DIR*)>;

class Removal {
 public:
  Removal(UniqueFd top, const std::string& path, Clock::time_point until)
      : top_(std::move(top)), path_(path), until_(until) {}

  Status Empty() {
    do {
      left_ = 0;
      const uint64_t before = removed_;
      HOLDFAST_CHECK(Sweep(".", /*is_top=*/true));
      if (left_ > 0 && removed_ == before) return std::unexpected(*failure_);  // no way on
    } while (left_ > 0);
    return {};
  }

 private:
  // Removes what is in that entry of the top, or in the top itself. Fails only when the time is
  // over; what else goes wrong is noted.
  Status Sweep(const char* name, bool is_top) {
    const int fd = ::openat(top_.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    const Directory directory(fd < 0 ? nullptr : ::fdopendir(fd), ::closedir);
    if (!directory) return Note("opening", name);
    while (const dirent* entry = ::readdir(directory.get())) {
      const std::string_view found = entry->d_name;
      if (found == "." || found == "..") continue;
      if (Clock::now() > until_)
        return Fail(Code::kTimeout, "removing " + path_ + " takes longer than it may");
      HOLDFAST_CHECK(Remove(::dirfd(directory.get()), entry->d_name, is_top));
    }
    return {};
  }

  Status Remove(int directory, const char* name, bool is_top) {
    if (::unlinkat(directory, name, 0) == 0) return Gone();
    if (errno != EISDIR) return Note("removing", name);
    if (::unlinkat(directory, name, AT_REMOVEDIR) == 0) return Gone();
    if (errno != ENOTEMPTY && errno != EEXIST) return Note("removing", name);
    if (!is_top) return MoveUp(directory, name);
    HOLDFAST_CHECK(Sweep(name, false));
    if (::unlinkat(directory, name, AT_REMOVEDIR) == 0) return Gone();
    return Note("removing", name);
  }

  Status MoveUp(int directory, const char* name) {
    while (::renameat2(directory, name, top_.get(), std::to_string(next_name_++).c_str(),
                       RENAME_NOREPLACE) != 0)
      if (errno != EEXIST) return Note("moving", name);
    ++left_;
    return Gone();
  }

  Status Gone() {
    ++removed_;
    return {};
  }

  Status Note(const char* what, const char* name) {
    ++left_;
    failure_ = Error::Errno(std::string(what) + " " + name + " in " + path_);
    return {};
  }

  const UniqueFd top_;
  const std::string path_;
  const Clock::time_point until_;
  uint64_t next_name_ = 0;
  uint64_t removed_ = 0;  // from where it was
  uint64_t left_ = 0;     // for the next round
  std::optional<Error> failure_;
};

}  // namespace

Status RemoveFilled(const std::string& path, Clock::time_point until) {
  auto top = OpenFile(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!top && top.error().errno_value() == ENOENT) return {};
  if (!top) return std::unexpected(top.error());
  HOLDFAST_CHECK(Removal(*std::move(top), path, until).Empty());
  if (::rmdir(path.c_str()) != 0) return FailErrno("removing " + path);
  return {};
}

}  // namespace holdfast::warden
