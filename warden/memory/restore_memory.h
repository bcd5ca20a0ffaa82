// Which memory a restore brings back at once, through files that CRIU reads, and which while the
// processes run already.
//
// At once: what CRIU can only restore so (shared memory, stacks, private pages of files), what a
// process has at the same addresses as its parent (CRIU makes the two share again what is equal,
// which pages that come singly would not be), and what a fork would wipe (madvise(2),
// MADV_WIPEONFORK: a child must not get its parent's).
//
// Used by restore.cc. Thread-safe as pure functions are.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>

#include "base/identity.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "storage/checkpoint.h"
#include "warden/criu/images.h"
#include "warden/memory/lazy_memory.h"

namespace holdfast::warden {

// What the images say about private memory, by pid in the pod.
struct MemoryImages {
  std::map<pid_t, Pagemap> pagemaps;
  std::map<pid_t, pid_t> parents;
  std::map<pid_t, image::mm_entry> mappings;
};

// Takes a note of the image, if it is about memory.
Status NoteMemoryImage(const std::string& name, const std::string& contents, MemoryImages& images);

// Clears the mark "lazy" from pages that must come at once.
void KeepEager(MemoryImages& images);

// What of the pagemaps' pages is to come while the processes run, by pid; empty: nothing.
Result<std::map<pid_t, LazyProcess>> PlanLazy(const MemoryImages& images,
                                              const storage::PodReader& reader);

// Streams become the files that CRIU reads, those of `lazy` with holes where pages come later.
// Returns how many bytes that was. kDenied if a deleted file is not `owner`'s.
Result<uint64_t> LoadMemory(const UniqueFd& directory, storage::PodReader& reader,
                            const std::map<pid_t, LazyProcess>& lazy, const MemoryImages& images,
                            const Identity& owner, unsigned threads);

}  // namespace holdfast::warden
