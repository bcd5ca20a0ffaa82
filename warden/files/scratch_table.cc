#include "warden/files/scratch_table.h"

#include <fcntl.h>

#include <algorithm>
#include <iterator>

#include "storage/checkpoint.h"
#include "warden/files/scratch.h"
#include "warden/isolation/pod_files.h"

namespace holdfast::warden {

ScratchPieces::ScratchPieces(const scratch::Table& table) {
  for (int i = 0; i < table.entries_size(); ++i)
    for (const scratch::Run& run : table.entries(i).runs()) {
      if (run.size() == 0) continue;
      const uint64_t end = run.offset() + run.size();
      runs_.push_back({.first_piece = count_,
                       .entry = static_cast<size_t>(i),
                       .begin = run.offset(),
                       .end = end});
      count_ += (end - 1) / storage::kExtentBytes - run.offset() / storage::kExtentBytes + 1;
      size_bytes_ += run.size();
    }
}

ScratchPiece ScratchPieces::At(size_t index) const {
  const auto after = std::ranges::upper_bound(runs_, index, {}, &Run::first_piece);
  const Run& run = *std::prev(after);
  const uint64_t extent = run.begin / storage::kExtentBytes + (index - run.first_piece);
  const uint64_t begin = std::max(run.begin, extent * storage::kExtentBytes);
  const uint64_t end = std::min(run.end, (extent + 1) * storage::kExtentBytes);
  return {.entry = run.entry, .offset = begin, .size_bytes = end - begin};
}

std::string InRoot(const scratch::Table& table, const scratch::Entry& entry) {
  return table.roots(static_cast<int>(entry.root())) + "/" + entry.path();
}

Status CheckOwner(const scratch::Table& table, const scratch::Entry& entry, const Identity& owner) {
  const bool own_group = entry.gid() == owner.gid ||
                         std::ranges::find(owner.groups, entry.gid()) != owner.groups.end();
  if (entry.uid() == owner.uid && own_group) return {};
  return Fail(Code::kDenied, InRoot(table, entry) + " belongs to " + std::to_string(entry.uid()) +
                                 ":" + std::to_string(entry.gid()) +
                                 ", which is not the job's user");
}

Result<std::vector<UniqueFd>> OpenRoots(const Pod& pod, const scratch::Table& table) {
  const std::vector<std::string> own = ScratchRoots(pod.options());
  HOLDFAST_TRY(const UniqueFd pod_root, OpenPodRoot(pod));
  std::vector<UniqueFd> roots(static_cast<size_t>(table.roots_size()));
  for (size_t i = 0; i < roots.size(); ++i) {
    const std::string& root = table.roots(static_cast<int>(i));
    if (!std::ranges::contains(own, root)) continue;
    HOLDFAST_TRY(roots[i], OpenInPod(pod_root, root, O_PATH | O_DIRECTORY));
  }
  return roots;
}

std::vector<std::string> ScratchRoots(const PodOptions& pod) {
  std::vector<std::string> roots = {"/tmp", "/dev/shm", kPodDirectory};
  for (const PrivateDirectory& directory : pod.private_directories)
    if (!std::ranges::contains(roots, directory.path)) roots.push_back(directory.path);
  return roots;
}

bool IsScratch(const PodOptions& pod, const std::string& path) {
  return std::ranges::any_of(ScratchRoots(pod), [&](const std::string& root) {
    return path.starts_with(root) && (path.size() == root.size() || path[root.size()] == '/');
  });
}

}  // namespace holdfast::warden
