#include "warden/files/nameless.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <map>
#include <set>
#include <utility>

#include "base/files.h"
#include "base/identity.h"
#include "warden/criu/preload_nameless.h"
#include "warden/isolation/pod_files.h"

namespace holdfast::warden {
namespace {

// More than the longest record of a ghost image.
constexpr size_t kHeadBytes = 16384;

Result<image::ghost_file_entry> ReadEntry(const UniqueFd& directory, uint32_t ghost) {
  const std::string name = fmt::format("ghost-file-{:x}.img", ghost);
  HOLDFAST_TRY(const UniqueFd file, OpenAt(directory, name, O_RDONLY));
  std::string head(kHeadBytes, '\0');
  const ssize_t size = ::pread(file.get(), head.data(), head.size(), 0);
  if (size < 0) return FailErrno("reading " + name);
  head.resize(static_cast<size_t>(size));
  HOLDFAST_TRY(const auto records, SplitImage(name, head, ImageMagic::kGhostFile, true));
  return ParseRecord<image::ghost_file_entry>(name, records[0]);
}

// The name that the kernel shows of one (d_mark_tmpfile in fs/dcache.c of Linux).
bool NeverHadName(const std::string& path, const image::ghost_file_entry& entry) {
  return S_ISREG(entry.mode()) && path.ends_with(fmt::format("/#{}", entry.ino()));
}

}  // namespace

Result<NamelessFiles> NamelessFiles::Open(const Pod& pod, const FileImages& images,
                                          const UniqueFd& directory) {
  std::map<uint32_t, const image::reg_file_entry*> opened;
  for (const image::file_entry& file : images.files)
    if (file.has_reg()) opened.emplace(file.id(), &file.reg());
  HOLDFAST_TRY(const UniqueFd root, OpenPodRoot(pod));
  NamelessFiles nameless;
  std::set<uint32_t> seen;
  for (const auto& remap : images.remaps) {
    const auto file = opened.find(remap.orig_id());
    if (remap.remap_type() != kRemapGhost || file == opened.end() ||
        !seen.insert(remap.remap_id()).second)
      continue;
    const std::string& path = file->second->name();
    if (path.find("/#") == std::string::npos) continue;
    HOLDFAST_TRY(auto entry, ReadEntry(directory, remap.remap_id()));
    // CRIU will open it again, by a symbolic link.
    const bool can_be_opened = (entry.mode() & (S_IRUSR | S_IWUSR)) == (S_IRUSR | S_IWUSR) &&
                               (file->second->flags() & O_NOFOLLOW) == 0;
    if (!NeverHadName(path, entry) || !can_be_opened) continue;
    const ScopedIdentity as_owner(pod.options().owner);
    const auto parent =
        OpenDirectlyInPod(root, path.substr(0, path.rfind('/') + 1), O_PATH | O_DIRECTORY);
    if (!parent) continue;
    UniqueFd made(::openat(parent->get(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, entry.mode()));
    if (!made.valid() || ::fchmod(made.get(), entry.mode() & 07777) != 0 ||
        ::fchown(made.get(), entry.uid(), entry.gid()) != 0)
      continue;
    nameless.files_.push_back(
        {.ghost = remap.remap_id(), .file = std::move(made), .entry = std::move(entry)});
    if (nameless.files_.size() == kMostNameless) break;
  }
  return nameless;
}

void NamelessFiles::GiveTo(CriuRun& run) const {
  std::string ghosts = kNamelessVariable;
  char separator = '=';
  int fd = kFirstNamelessFd;
  for (const Nameless& nameless : files_) {
    ghosts += fmt::format("{}{:x}", std::exchange(separator, ','), nameless.ghost);
    run.preload_fds.emplace_back(nameless.file.get(), fd++);
  }
  run.preload_environment.push_back(std::move(ghosts));
}

Status NamelessFiles::SetTimes() const {
  for (const Nameless& nameless : files_) {
    if (!nameless.entry.has_atim() || !nameless.entry.has_mtim()) continue;
    const auto as_timeval = [](const image::timeval& time) {
      return ::timeval{.tv_sec = static_cast<time_t>(time.tv_sec()),
                       .tv_usec = static_cast<suseconds_t>(time.tv_usec())};
    };
    const ::timeval times[] = {as_timeval(nameless.entry.atim()),
                               as_timeval(nameless.entry.mtim())};
    if (::futimes(nameless.file.get(), times) != 0)
      return FailErrno("giving a file without a name its times");
  }
  return {};
}

}  // namespace holdfast::warden
