#include "warden/criu/watches.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <sstream>

#include "base/files.h"
#include "base/numbers.h"
#include "warden/isolation/pod_files.h"

namespace holdfast::warden {
namespace {

struct Watch {
  dev_t device = 0;
  ino_t inode = 0;
  int handle_type = 0;
  std::string handle;  // bytes

  auto operator<=>(const Watch&) const = default;
};

template <class T>
std::optional<T> ParseHex(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// proc_pid_fdinfo(5): "inotify wd:1 ino:1aae sdev:33 mask:... fhandle-type:1 f_handle:ae1a00...".
std::optional<Watch> ParseWatch(const std::string& line) {
  if (!line.starts_with("inotify ")) return std::nullopt;
  Watch watch;
  std::istringstream fields(line);
  for (std::string field; fields >> field;) {
    const size_t colon = field.find(':');
    const std::string key = field.substr(0, colon);
    const std::string value = colon == field.npos ? "" : field.substr(colon + 1);
    if (key == "sdev") {
      // The kernel's own form: 20 bits for the minor number.
      const auto device = ParseHex<uint32_t>(value);
      if (!device) return std::nullopt;
      watch.device = ::makedev(*device >> 20, *device & 0xfffff);
    } else if (key == "ino") {
      watch.inode = ParseHex<uint64_t>(value).value_or(0);
    } else if (key == "fhandle-type") {
      watch.handle_type = ParseHex<int>(value).value_or(-1);
    } else if (key == "f_handle") {
      for (size_t i = 0; i + 1 < value.size(); i += 2) {
        const auto byte = ParseHex<unsigned char>(std::string_view(value).substr(i, 2));
        if (!byte) return std::nullopt;
        watch.handle.push_back(static_cast<char>(*byte));
      }
    }
  }
  return watch;
}

struct Watched {
  std::set<Watch> watches;
  // What processes have open or work in, by device and inode.
  std::map<std::pair<dev_t, ino_t>, std::string> paths;
};

// Processes come and go meanwhile: what cannot be read is passed over.
Watched Find(const Pod& pod) {
  Watched found;
  const auto look_at = [&](const std::string& link) {
    struct stat info = {};
    std::string path = ReadLink(link).value_or("");
    if (path.starts_with('/') && ::stat(link.c_str(), &info) == 0)
      found.paths.emplace(std::pair(info.st_dev, info.st_ino), path);
    return path;
  };
  for (const std::string& pid :
       ListDirectory(pod.proc_path()).value_or(std::vector<std::string>())) {
    if (!ParseNumber<int>(pid)) continue;
    const std::string process = pod.proc_path() + "/" + pid;
    look_at(process + "/cwd");
    for (const std::string& fd :
         ListDirectory(process + "/fd").value_or(std::vector<std::string>())) {
      if (look_at(process + "/fd/" + fd) != "anon_inode:inotify") continue;
      std::istringstream lines(ReadFile(process + "/fdinfo/" + fd).value_or(""));
      for (std::string line; std::getline(lines, line);)
        if (const auto watch = ParseWatch(line)) found.watches.insert(*watch);
    }
  }
  return found;
}

// A directory of each file system in the pod, by device.
std::map<dev_t, UniqueFd> OpenMounts(const Pod& pod, const UniqueFd& root) {
  std::map<dev_t, UniqueFd> mounts;
  std::istringstream lines(ReadFile(pod.proc_path() + "/1/mountinfo").value_or(""));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string id, parent, subtree, path;
    unsigned major = 0, minor = 0;
    char colon = 0;
    if (!(fields >> id >> parent >> major >> colon >> minor >> subtree >> path)) continue;
    const dev_t device = ::makedev(major, minor);
    if (mounts.contains(device)) continue;
    if (auto mount = OpenInPod(root, path, O_RDONLY | O_DIRECTORY))
      mounts.emplace(device, std::move(*mount));
  }
  return mounts;
}

Result<UniqueFd> OpenHandle(const UniqueFd& mount, const Watch& watch) {
  alignas(file_handle) char buffer[sizeof(file_handle) + MAX_HANDLE_SZ] = {};
  auto* handle = reinterpret_cast<file_handle*>(buffer);
  if (watch.handle.size() > MAX_HANDLE_SZ)
    return Fail(Code::kInternal, "a file handle that is too long");
  handle->handle_bytes = static_cast<unsigned>(watch.handle.size());
  handle->handle_type = watch.handle_type;
  std::memcpy(handle->f_handle, watch.handle.data(), watch.handle.size());
  UniqueFd file(::open_by_handle_at(mount.get(), handle, O_PATH | O_CLOEXEC));
  if (!file.valid()) return FailErrno("opening a file handle");
  return file;
}

}  // namespace

Result<std::vector<std::string>> WatchedPaths(const Pod& pod) {
  const Watched found = Find(pod);
  std::vector<std::string> paths;
  if (found.watches.empty()) return paths;
  HOLDFAST_TRY(const UniqueFd root, OpenPodRoot(pod));
  const auto mounts = OpenMounts(pod, root);
  std::set<std::string> directories;
  for (const Watch& watch : found.watches) {
    std::string path;
    if (const auto open = found.paths.find({watch.device, watch.inode}); open != found.paths.end())
      path = open->second;
    // Not every file system opens handles.
    if (const auto mount = mounts.find(watch.device); path.empty() && mount != mounts.end())
      if (const auto file = OpenHandle(mount->second, watch))
        path = ReadLink("/proc/self/fd/" + std::to_string(file->get())).value_or("");
    if (path.empty()) continue;
    struct stat info = {};
    const auto file = OpenInPod(root, path, O_PATH);
    if (file && ::fstat(file->get(), &info) == 0 && S_ISDIR(info.st_mode))
      directories.insert(std::move(path));
    else
      paths.push_back(std::move(path));
  }
  paths.insert(paths.end(), directories.begin(), directories.end());
  return paths;
}

}  // namespace holdfast::warden
