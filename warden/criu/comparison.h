// Whether the processes that CRIU has restored are those that were saved, looked at before any of
// them runs: CRIU opens files by their paths, and whoever owns a directory on the way can have put
// something else there meanwhile. CRIU could open no more than the job's user may
// (warden/criu/criu.h); this says that it is also what the processes had.
//
// Used by restore.cc. Thread-safe as functions of their arguments are.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "warden/criu/images.h"
#include "warden/isolation/pod.h"

namespace holdfast::warden {

// What one process had. Paths are the pod's; those of deleted files are left out, because CRIU
// gives them other names.
struct SavedProcess {
  std::set<int> descriptors;             // all
  std::map<int, std::string> files;      // those of them that have a path
  std::map<uint64_t, std::string> maps;  // files mapped, by address
  std::string cwd, root, program;        // empty if deleted
};

// Collects what the images say: give it every image, then ask.
class SavedProcesses {
 public:
  // Remembers the image if it is of use. kCorrupt if it cannot be parsed.
  Status Note(const std::string& name, const std::string& contents);
  // kCorrupt if something that is referred to is missing. Zombies are left out.
  Result<std::map<pid_t, SavedProcess>> Processes() const;

 private:
  std::vector<image::pstree_entry> tree_;
  std::map<uint32_t, image::file_entry> files_;
  std::set<uint32_t> deleted_;
  std::map<uint32_t, std::vector<image::fdinfo_entry>> descriptors_;  // by table
  std::map<pid_t, image::task_kobj_ids_entry> ids_;
  std::map<pid_t, image::fs_entry> directories_;
  std::map<pid_t, image::mm_entry> memory_;

  std::string PathOf(uint32_t file_id) const;
};

// kChanged, naming process and file, unless every file, mapping and directory of every process has
// the path it had. CRIU must be held at its stage "post-restore" or later.
Status CompareFiles(const Pod& pod, const std::map<pid_t, SavedProcess>& saved);

// kDenied, naming the process, unless every thread is exactly the owner and has no capability, and
// no process has a descriptor that it had not. CRIU must be held at its stage "pre-resume".
Status CompareRights(const Pod& pod, const std::map<pid_t, SavedProcess>& saved);

}  // namespace holdfast::warden
