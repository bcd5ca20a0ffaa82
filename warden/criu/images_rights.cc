#include "warden/criu/images_rights.h"

#include <linux/securebits.h>

#include <algorithm>
#include <vector>

#include "warden/criu/images.h"

namespace holdfast::warden {
namespace {

// compel/include/uapi/task-state.h: such a process is made only to be reaped, and has no
// credentials in its image.
constexpr uint32_t kTaskDead = 2;
constexpr uint32_t kTaskZombie = 6;

std::unexpected<Error> Denied(const std::string& name, const std::string& what) {
  return Fail(Code::kDenied, "image " + name + " asks for " + what +
                                 ", which the job's user does not have: it was not restored");
}

template <class Words>
bool AnySet(const Words& words) {
  return std::ranges::any_of(words, [](uint32_t word) { return word != 0; });
}

Status CheckIds(const std::string& name, const image::creds_entry& creds, const Identity& owner) {
  for (const uint32_t uid : {creds.uid(), creds.euid(), creds.suid(), creds.fsuid()})
    if (uid != owner.uid) return Denied(name, "uid " + std::to_string(uid));
  const auto mine = [&](uint32_t gid) {
    return gid == owner.gid || std::ranges::find(owner.groups, gid) != owner.groups.end();
  };
  for (const uint32_t gid : {creds.gid(), creds.egid(), creds.sgid(), creds.fsgid()})
    if (!mine(gid)) return Denied(name, "gid " + std::to_string(gid));
  for (const uint32_t gid : creds.groups())
    if (!mine(gid)) return Denied(name, "group " + std::to_string(gid));
  return {};
}

}  // namespace

Status CheckCoreRights(const std::string& name, std::string_view contents, const Identity& owner,
                       const std::string& label) {
  HOLDFAST_TRY(const auto core, ParseOnly<image::core_entry>(name, contents, ImageMagic::kCore));
  if (core.has_tc() &&
      (core.tc().task_state() == kTaskDead || core.tc().task_state() == kTaskZombie))
    return {};
  if (!core.thread_core().has_creds())
    return Fail(Code::kCorrupt, "image " + name + ": it says nothing about credentials");
  const image::creds_entry& creds = core.thread_core().creds();
  HOLDFAST_CHECK(CheckIds(name, creds, owner));
  if (AnySet(creds.cap_inh()) || AnySet(creds.cap_prm()) || AnySet(creds.cap_eff()) ||
      AnySet(creds.cap_amb()))
    return Denied(name, "capabilities");
  // Anybody may set KEEP_CAPS, and without capabilities it means nothing.
  if ((creds.secbits() & ~(1U << SECURE_KEEP_CAPS)) != 0) return Denied(name, "securebits");
  if (!creds.lsm_profile().empty() && creds.lsm_profile() != label)
    return Denied(name, "security label " + creds.lsm_profile());
  if (!creds.lsm_sockcreate().empty() && creds.lsm_sockcreate() != label)
    return Denied(name, "security label " + creds.lsm_sockcreate());
  if (!creds.apparmor_data().empty()) return Denied(name, "AppArmor profiles of its own");
  return {};
}

Status CheckGhostRights(const std::string& name, std::string_view contents, const Identity& owner) {
  HOLDFAST_TRY(const auto records, SplitImage(name, contents, ImageMagic::kGhostFile, true));
  HOLDFAST_TRY(const auto ghost, ParseRecord<image::ghost_file_entry>(name, records[0]));
  if (ghost.uid() != owner.uid) return Denied(name, "a file of uid " + std::to_string(ghost.uid()));
  if (ghost.gid() != owner.gid &&
      std::ranges::find(owner.groups, ghost.gid()) == owner.groups.end())
    return Denied(name, "a file of gid " + std::to_string(ghost.gid()));
  return {};
}

}  // namespace holdfast::warden
