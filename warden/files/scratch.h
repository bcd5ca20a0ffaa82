// A pod's private files, saved with its processes: those in /tmp, /dev/shm, the pod's own
// directory, and the directories that it has to itself on the node's disk.
//
// A table (scratch.proto, image "scratch.table") names every file, directory, symbolic link and
// FIFO; the contents of regular files are in one stream ("scratch"), cut at multiples of
// storage::kExtentBytes of each *file*, so that a file that did not change costs nothing in the
// next checkpoint. Holes stay holes. Sockets are left out: CRIU makes those that are in use. So are
// extended attributes.
//
// Used by save.cc and restore.cc, as root; see pod_files.h for why the user cannot lead it out of
// the pod.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "storage/checkpoint.h"
#include "warden/isolation/pod.h"
#include "warden_images/scratch.pb.h"

namespace holdfast::warden {

inline constexpr const char* kScratchTable = "scratch.table";
inline constexpr const char* kScratchStream = "scratch";

// The directories that are saved with the pod.
std::vector<std::string> ScratchRoots(const PodOptions& pod);
// True for an absolute path in one of them.
bool IsScratch(const PodOptions& pod, const std::string& path);

// The pod is frozen. Returns the bytes of contents. kDenied if a file is not the owner's.
// `names`: paths that files have for the time of the save (lent_names.h), and those they are saved
// as.
Result<uint64_t> SaveScratch(const Pod& pod, const std::map<std::string, std::string>& names,
                             storage::PodWriter& writer, unsigned threads);

// kCorrupt or kDenied unless the table names nothing outside of its directories, of the stream, or
// of what is the owner's; kUnsupported if there is something in a directory that is none of
// `roots`.
Result<scratch::Table> ParseScratchTable(const std::string& bytes,
                                         const std::vector<std::string>& roots,
                                         const Identity& owner, uint64_t stream_bytes);

// The pod is new, its private directories empty. Everything is made with the identity of the pod's
// owner, so that nothing can come out that the owner could not have made. kDenied if an entry says
// otherwise, kNoSpace if the node has not the room. Returns what was made.
Result<scratch::Table> RestoreScratch(const Pod& pod, storage::PodReader& reader, unsigned threads);
// Takes back the names that files had for CRIU only.
Status RemoveLent(const Pod& pod, const scratch::Table& table);

}  // namespace holdfast::warden
