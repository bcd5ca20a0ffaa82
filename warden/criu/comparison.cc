#include "warden/criu/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "base/files.h"
#include "base/numbers.h"

namespace holdfast::warden {
namespace {

// criu/include/image.h: vma_entry.status.
constexpr uint32_t kFilePrivate = 1 << 6;
constexpr uint32_t kFileShared = 1 << 7;

// criu/images/fdinfo.proto: file_entry.type.
constexpr uint32_t kRegular = 1;  // and directories and devices
constexpr uint32_t kFifo = 3;
constexpr uint32_t kTerminal = 11;

constexpr std::string_view kCapabilityLines[] = {"CapInh:", "CapPrm:", "CapEff:", "CapAmb:"};

std::string ProcessPath(const Pod& pod, pid_t pid) {
  return pod.proc_path() + "/" + std::to_string(pid);
}

Status CompareLink(const std::string& process, const std::string& link, const std::string& saved) {
  if (saved.empty()) return {};
  HOLDFAST_TRY(const std::string now, ReadLink(process + "/" + link));
  if (now == saved) return {};
  return Fail(
      Code::kChanged,
      fmt::format("{}: the job had {} open here, and the path leads to {} now", link, saved, now));
}

// As proc_pid_maps(5) writes a path. Not to be undone: a name may have these four characters
// itself.
std::string AsInMaps(std::string path) {
  for (size_t at = 0; (at = path.find('\n', at)) != path.npos;) path.replace(at, 1, "\\012");
  return path;
}

struct Mapping {
  uint64_t end = 0;
  std::string path;  // AsInMaps
};

Result<std::map<uint64_t, Mapping>> ReadMaps(const std::string& process) {
  HOLDFAST_TRY(const std::string text, ReadFile(process + "/maps"));
  std::map<uint64_t, Mapping> maps;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string permissions, offset, device, inode;
    uint64_t start = 0;
    char dash = 0;
    Mapping mapping;
    if (!(fields >> std::hex >> start >> dash >> mapping.end >> permissions >> offset >> device >>
          inode))
      return Fail(Code::kInternal, process + "/maps: a line cannot be read: " + line);
    std::getline(fields >> std::ws, mapping.path);
    maps.emplace(start, std::move(mapping));
  }
  return maps;
}

Status CompareMaps(const std::string& process, const SavedProcess& saved) {
  if (saved.maps.empty()) return {};
  HOLDFAST_TRY(const auto maps, ReadMaps(process));
  for (const auto& [address, path] : saved.maps) {
    // The kernel may have joined it with the one before.
    auto found = maps.upper_bound(address);
    const bool mapped = found != maps.begin() && (--found)->second.end > address;
    if (!mapped || found->second.path != AsInMaps(path))
      return Fail(Code::kChanged,
                  fmt::format("the job had {} mapped at {:x}, and there is {} now", path, address,
                              mapped ? found->second.path : "nothing"));
  }
  return {};
}

Status CompareThread(const std::string& status, const Identity& owner) {
  std::istringstream lines(status);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string key;
    fields >> key;
    if (key == "Uid:") {
      for (uid_t uid; fields >> uid;)
        if (uid != owner.uid) return Fail(Code::kDenied, "it has uid " + std::to_string(uid));
    } else if (key == "Gid:" || key == "Groups:") {
      for (gid_t gid; fields >> gid;)
        if (gid != owner.gid && std::ranges::find(owner.groups, gid) == owner.groups.end())
          return Fail(Code::kDenied, "it has gid " + std::to_string(gid));
    } else if (std::ranges::find(kCapabilityLines, key) != std::end(kCapabilityLines)) {
      std::string mask;
      fields >> mask;
      if (mask.find_first_not_of('0') != mask.npos)
        return Fail(Code::kDenied, "it has capabilities: " + key + " " + mask);
    }
  }
  return {};
}

Status CompareProcessRights(const std::string& process, const SavedProcess& saved,
                            const Identity& owner) {
  HOLDFAST_TRY(const auto threads, ListDirectory(process + "/task"));
  for (const std::string& thread : threads) {
    HOLDFAST_TRY(const std::string status, ReadFile(process + "/task/" + thread + "/status"));
    HOLDFAST_CHECK(CompareThread(status, owner));
  }
  HOLDFAST_TRY(const auto descriptors, ListDirectory(process + "/fd"));
  for (const std::string& name : descriptors)
    if (!saved.descriptors.contains(ParseNumber<int>(name).value_or(-1)))
      return Fail(Code::kDenied, "it has a descriptor that the job did not have, " + name + ": " +
                                     ReadLink(process + "/fd/" + name).value_or("unknown"));
  return {};
}

Error Named(Error error, pid_t pid) {
  return std::move(error).Wrap(fmt::format("restored process {} is not as it was", pid));
}

}  // namespace

Status SavedProcesses::Note(const std::string& name, const std::string& contents) {
  if (name == "pstree.img") {
    HOLDFAST_TRY(tree_, ParseImage<image::pstree_entry>(name, contents, ImageMagic::kPstree));
  } else if (name == "files.img") {
    HOLDFAST_TRY(auto files, ParseImage<image::file_entry>(name, contents, ImageMagic::kFiles));
    for (image::file_entry& file : files) files_.emplace(file.id(), std::move(file));
  } else if (name == "remap-fpath.img") {
    HOLDFAST_TRY(const auto remaps,
                 ParseImage<image::remap_file_path_entry>(name, contents, ImageMagic::kRemapPath));
    for (const auto& remap : remaps) deleted_.insert(remap.orig_id());
  } else if (const pid_t table = PidOfImage(name, "fdinfo-"); table != 0) {
    HOLDFAST_TRY(descriptors_[static_cast<uint32_t>(table)],
                 ParseImage<image::fdinfo_entry>(name, contents, ImageMagic::kFdinfo));
  } else if (const pid_t task = PidOfImage(name, "ids-"); task != 0) {
    HOLDFAST_TRY(ids_[task],
                 ParseOnly<image::task_kobj_ids_entry>(name, contents, ImageMagic::kIds));
  } else if (const pid_t of = PidOfImage(name, "fs-"); of != 0) {
    HOLDFAST_TRY(directories_[of], ParseOnly<image::fs_entry>(name, contents, ImageMagic::kFs));
  } else if (const pid_t owner = PidOfImage(name, "mm-"); owner != 0) {
    HOLDFAST_TRY(memory_[owner], ParseOnly<image::mm_entry>(name, contents, ImageMagic::kMm));
  }
  return {};
}

std::string SavedProcesses::PathOf(uint32_t file_id) const {
  auto found = files_.find(file_id);
  if (found == files_.end()) return "";
  // A FIFO and a terminal name the file that has their path.
  const image::file_entry& file = found->second;
  if (file.type() == kFifo && file.fifo().has_regf_id())
    found = files_.find(file.fifo().regf_id());
  else if (file.type() == kTerminal && file.tty().has_regf_id())
    found = files_.find(file.tty().regf_id());
  const bool has_path =
      found != files_.end() && found->second.type() == kRegular && !deleted_.contains(found->first);
  return has_path ? found->second.reg().name() : "";
}

Result<std::map<pid_t, SavedProcess>> SavedProcesses::Processes() const {
  std::map<pid_t, SavedProcess> processes;
  for (const image::pstree_entry& entry : tree_) {
    const auto pid = static_cast<pid_t>(entry.pid());
    const auto memory = memory_.find(pid);
    if (memory == memory_.end()) continue;  // a zombie
    const auto ids = ids_.find(pid);
    const auto directories = directories_.find(pid);
    if (ids == ids_.end() || directories == directories_.end())
      return Fail(Code::kCorrupt,
                  fmt::format("the checkpoint has not all images of process {}", pid));
    SavedProcess& process = processes[pid];
    if (const auto table = descriptors_.find(ids->second.files_id()); table != descriptors_.end())
      for (const image::fdinfo_entry& descriptor : table->second) {
        const int number = static_cast<int>(descriptor.fd());
        process.descriptors.insert(number);
        if (std::string path = PathOf(descriptor.id()); !path.empty())
          process.files.emplace(number, std::move(path));
      }
    for (const image::vma_entry& vma : memory->second.vmas())
      if ((vma.status() & (kFilePrivate | kFileShared)) != 0)
        if (std::string path = PathOf(static_cast<uint32_t>(vma.shmid())); !path.empty())
          process.maps.emplace(vma.start(), std::move(path));
    process.cwd = PathOf(directories->second.cwd_id());
    process.root = PathOf(directories->second.root_id());
    process.program = PathOf(memory->second.exe_file_id());
  }
  return processes;
}

Status CompareFiles(const Pod& pod, const std::map<pid_t, SavedProcess>& saved) {
  for (const auto& [pid, process] : saved) {
    const std::string path = ProcessPath(pod, pid);
    const auto compare = [&]() -> Status {
      for (const auto& [number, file] : process.files)
        HOLDFAST_CHECK(CompareLink(path, "fd/" + std::to_string(number), file));
      HOLDFAST_CHECK(CompareLink(path, "cwd", process.cwd));
      HOLDFAST_CHECK(CompareLink(path, "root", process.root));
      HOLDFAST_CHECK(CompareLink(path, "exe", process.program));
      return CompareMaps(path, process);
    };
    HOLDFAST_CHECK(
        compare().transform_error([&](Error error) { return Named(std::move(error), pid); }));
  }
  return {};
}

Status CompareRights(const Pod& pod, const std::map<pid_t, SavedProcess>& saved) {
  for (const auto& [pid, process] : saved)
    HOLDFAST_CHECK(CompareProcessRights(ProcessPath(pod, pid), process, pod.options().owner)
                       .transform_error([&](Error error) { return Named(std::move(error), pid); }));
  return {};
}

}  // namespace holdfast::warden
