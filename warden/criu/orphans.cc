#include "warden/criu/orphans.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>

#include "warden/criu/preload_orphans.h"

namespace holdfast::warden {
namespace {

class Tree {
 public:
  explicit Tree(const std::vector<image::pstree_entry>& processes) {
    for (const image::pstree_entry& process : processes) {
      if (process.ppid() == 0) root_ = process.pid();
      processes_.emplace(process.pid(), process);
    }
  }

  uint32_t root() const { return root_; }
  const image::pstree_entry* Find(uint32_t pid) const {
    const auto found = processes_.find(pid);
    return found == processes_.end() ? nullptr : &found->second;
  }
  bool IsAbove(uint32_t ancestor, const image::pstree_entry& process) const {
    uint32_t pid = process.ppid();
    for (size_t steps = 0; steps < processes_.size() && pid != 0; ++steps) {  // images may lie
      if (pid == ancestor) return true;
      const image::pstree_entry* above = Find(pid);
      pid = above == nullptr ? 0 : above->ppid();
    }
    return false;
  }
  // Whether CRIU cannot find out where it got its session.
  bool IsStranded(const image::pstree_entry& process) const {
    const image::pstree_entry* parent = Find(process.ppid());
    return parent != nullptr && parent->pid() != root_ && process.sid() != process.pid() &&
           process.sid() != parent->sid() && !IsAbove(process.sid(), process);
  }

 private:
  uint32_t root_ = 0;
  std::map<uint32_t, image::pstree_entry> processes_;
};

}  // namespace

std::string Orphans::Image() const {
  std::vector<const google::protobuf::MessageLite*> records;
  for (const image::pstree_entry& process : processes) records.push_back(&process);
  return SerializeImage(ImageMagic::kPstree, records);
}

std::string Orphans::Variable() const {
  return fmt::format("{}={}", kAdoptersVariable, fmt::join(adopters, ","));
}

Orphans PlaceOrphans(std::vector<image::pstree_entry> processes) {
  const Tree tree(processes);
  Orphans orphans{.processes = std::move(processes), .adopters = {tree.root()}};
  for (image::pstree_entry& process : orphans.processes) {
    if (!tree.IsStranded(process)) continue;
    orphans.adopters.insert(process.ppid());
    process.set_ppid(tree.root());
  }
  return orphans;
}

Status CheckOrphans(const std::vector<image::pstree_entry>& processes) {
  const Tree tree(processes);
  for (const image::pstree_entry& process : processes) {
    if (!tree.IsStranded(process)) continue;
    const image::pstree_entry& parent = *tree.Find(process.ppid());
    const image::pstree_entry* leader = tree.Find(process.sid());
    // Nobody gets into a session but from its leader downwards: who is above that has adopted it.
    if (leader != nullptr && tree.IsAbove(parent.pid(), *leader)) continue;
    // The daemon of a step, in pod-root's session: what its tasks leave is then ended with the job.
    if (leader == nullptr && parent.sid() == tree.root()) continue;
    return Fail(Code::kUnsupported,
                fmt::format("the job cannot be saved now\n  why:  process {} is a child of process "
                            "{} and in a session that has nothing to do with that (setsid(2)), "
                            "which CRIU cannot restore\n  next: save again when one of them has "
                            "ended",
                            process.pid(), parent.pid()));
  }
  return {};
}

}  // namespace holdfast::warden
