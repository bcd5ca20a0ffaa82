// Whether this node can run what another one saved: the same kind of CPU, a CRIU that knows the
// images, the same programs and libraries. Asked before CRIU is, because CRIU finds out late and
// says less.
//
// Used by save.cc (which records) and restore.cc (which compares). Thread-safe.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "warden/criu/criu.h"
#include "warden/criu/images.h"
#include "warden/isolation/pod.h"

namespace holdfast::warden {

using Attributes = std::map<std::string, std::string>;

// Of this node, for storage::PodInfo: "arch", "kernel", "cpu", "cpu_flags", "xsave_bytes", "criu".
Attributes DescribeNode(const CriuVersion& criu);

// kUnfit, naming what is missing, if processes saved where `saved` was described may not run
// where `here` was.
Status CompareNodes(const Attributes& saved, const Attributes& here);

// Compares every file that the processes have open or mapped with what it was: build-ids of
// programs and libraries (kUnsupported: this node has another version), sizes of the rest
// (kChanged). Runs after private files are back, with the identity of the pod's owner.
Status CheckOpenFiles(const Pod& pod, const std::vector<image::file_entry>& files,
                      const std::vector<image::remap_file_path_entry>& deleted);

// At the save: kUnsupported, naming the file, if the owner could not open again, by its name and in
// the same way, what a process has open. It may have been opened before rights changed, by a set-id
// program, or have been passed on by another user. So too if it is in a directory that other nodes
// have not.
Status CheckReopening(const Pod& pod, const std::vector<image::file_entry>& files,
                      const std::vector<image::remap_file_path_entry>& deleted,
                      const std::vector<std::string>& local_directories);

// The build-id of an ELF file as hex digits; nothing if it has none or is no ELF file.
std::optional<std::string> ReadBuildId(const UniqueFd& file);

}  // namespace holdfast::warden
