#include "warden/attributes/sysv.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/shm.h>

#include "base/files.h"
#include "warden/isolation/network_namespace.h"

namespace holdfast::warden {
namespace {

Result<UniqueFd> IpcNamespace(const Pod& pod) {
  return OpenFile(fmt::format("{}/{}/ns/ipc", pod.proc_path(), pod.root_pid()), O_RDONLY);
}

// One up and down again: the kernel notes the time.
Status Use(int set) {
  const int value = ::semctl(set, 0, GETVAL);
  const short first = value > 0 ? -1 : 1;
  sembuf operations[] = {{0, first, IPC_NOWAIT}, {0, static_cast<short>(-first), IPC_NOWAIT}};
  if (value < 0 || ::semop(set, operations, std::size(operations)) != 0)
    return FailErrno(fmt::format("giving semaphore set {} a time of use", set));
  return {};
}

}  // namespace

Status DescribeSysv(const Pod& pod, attributes::Attributes& all) {
  const auto ns = IpcNamespace(pod);
  if (!ns) return {};  // no root yet, or no more
  const ScopedIpcNamespace inside(*ns);
  HOLDFAST_CHECK(inside.status());
  shm_info memory = {};
  const int last_memory = ::shmctl(0, SHM_INFO, reinterpret_cast<shmid_ds*>(&memory));
  for (int i = 0; i <= last_memory; ++i) {
    shmid_ds state = {};
    const int id = ::shmctl(i, SHM_STAT, &state);
    if (id >= 0 && (state.shm_perm.mode & SHM_DEST) != 0)
      all.add_removed_memory(static_cast<uint32_t>(id));
  }
  seminfo semaphores = {};
  const int last_set = ::semctl(0, 0, SEM_INFO, &semaphores);
  for (int i = 0; i <= last_set; ++i) {
    semid_ds state = {};
    const int id = ::semctl(i, 0, SEM_STAT, &state);
    if (id >= 0 && state.sem_otime != 0) all.add_used_semaphores(static_cast<uint32_t>(id));
  }
  return {};
}

Status RestoreSysv(const Pod& pod, const attributes::Attributes& all) {
  if (all.removed_memory().empty() && all.used_semaphores().empty()) return {};
  HOLDFAST_TRY(const UniqueFd ns, IpcNamespace(pod));
  const ScopedIpcNamespace inside(ns);
  HOLDFAST_CHECK(inside.status());
  for (const uint32_t id : all.removed_memory())
    if (::shmctl(static_cast<int>(id), IPC_RMID, nullptr) != 0)
      return FailErrno(fmt::format("marking shared memory {} for removal", id));
  for (const uint32_t set : all.used_semaphores()) HOLDFAST_CHECK(Use(static_cast<int>(set)));
  return {};
}

}  // namespace holdfast::warden
