#include "warden/criu/unseen.h"

#include <cpuid.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <initializer_list>
#include <span>
#include <vector>

#include "warden/criu/borrowed_thread.h"

namespace holdfast::warden {
namespace {

constexpr int kMostKeysRead = 512;
constexpr int kProtectionKeys = 16;  // of x86
// linux/sem.h: SEMVMX and SEMAEM, of values and of adjustments.
constexpr int kLargest = 32767;

bool Refuse(const char* what, pid_t process) {
  std::fprintf(stderr, "Error (holdfast): %s (pid: %d)\n", what, process);
  return false;
}

// --- keys

// Calls visit(line) for each line of a file.
template <class Visit>
void ForEachLine(const char* path, Visit visit) {
  FILE* const file = std::fopen(path, "re");
  if (file == nullptr) return;
  for (char line[512]; std::fgets(line, sizeof line, file);) visit(line);
  std::fclose(file);
}

// Whether the user has any beyond the two keyrings that every user may have.
bool UserHasKeys() {
  int keys = 0;
  // proc_key_users(5): "UID: USAGE KEYS/INSTANTIATED ...".
  ForEachLine("/proc/key-users", [&](const char* line) {
    unsigned uid = 0;
    int count = 0;
    if (std::sscanf(line, " %u: %*d %d/", &uid, &count) == 2 && uid == ::getuid()) keys = count;
  });
  if (keys == 0) return false;
  // proc_keys(5): "ID FLAGS USAGE TIMEOUT PERMISSIONS UID GID keyring _uid_ses.UID: CONTENTS".
  ForEachLine("/proc/keys", [&](const char* line) {
    unsigned uid = 0, of = 0;
    if (std::sscanf(line, "%*s %*s %*s %*s %*s %u %*s keyring _uid.%u:", &uid, &of) != 2 &&
        std::sscanf(line, "%*s %*s %*s %*s %*s %u %*s keyring _uid_ses.%u:", &uid, &of) != 2)
      return;
    if (uid == ::getuid() && of == uid) --keys;
  });
  return keys > 0;
}

int32_t OwnKeyring(int32_t which) {
  return static_cast<int32_t>(::syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, which, 0));
}

uint64_t Number(int32_t which) { return static_cast<uint64_t>(static_cast<int64_t>(which)); }

// The session that the pod was started in, and what the user has outside of any job, stay on the
// node, for all of its processes alike.
bool IsOfNode(int32_t key) {
  static const std::array<int32_t, 3> of_node = {OwnKeyring(KEY_SPEC_SESSION_KEYRING),
                                                 OwnKeyring(KEY_SPEC_USER_SESSION_KEYRING),
                                                 OwnKeyring(KEY_SPEC_USER_KEYRING)};
  for (const int32_t keyring : of_node)
    if (key == keyring) return true;
  return false;
}

bool HoldsKeys(BorrowedThread& thread, int32_t which) {
  const auto keyring =
      static_cast<int32_t>(thread.Call(SYS_keyctl, {KEYCTL_GET_KEYRING_ID, Number(which), 0}));
  if (keyring <= 0 || IsOfNode(keyring)) return false;
  std::array<int32_t, kMostKeysRead> keys = {};
  const uint64_t room = thread.room();
  const int64_t bytes = thread.Call(SYS_keyctl, {KEYCTL_READ, Number(keyring), room, sizeof keys});
  if (bytes <= 0) return false;
  const size_t count = std::min<size_t>(static_cast<size_t>(bytes) / sizeof keys[0], keys.size());
  if (!thread.Read(room, keys.data(), count * sizeof keys[0])) return true;
  for (const int32_t key : std::span(keys).first(count))
    if (!IsOfNode(key)) return true;
  return false;
}

// --- protection keys

bool ProcessorHasProtectionKeys() {
  constexpr unsigned kOspke = 1 << 4;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (ecx & kOspke) != 0;
}

// pkey_mprotect(2) of what is not mapped: ENOMEM with a key that is allocated, else EINVAL.
bool HasProtectionKeys(BorrowedThread& thread) {
  constexpr uint64_t kNowhere = uint64_t{1} << 62;  // above all addresses
  for (uint64_t key = 1; key < kProtectionKeys; ++key)
    if (thread.Call(SYS_pkey_mprotect, {kNowhere, 4096, PROT_READ, key}) == -ENOMEM) return true;
  return false;
}

// --- System V semaphores

struct SemaphoreSet {
  int id;
  int count;
};

// Those of the process' IPC namespace, in which this is not.
std::vector<SemaphoreSet> SemaphoreSets(pid_t process) {
  std::vector<SemaphoreSet> sets;
  char path[32];
  std::snprintf(path, sizeof path, "/proc/%d/ns/ipc", process);
  const int own = ::open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC);
  const int theirs = ::open(path, O_RDONLY | O_CLOEXEC);
  if (own >= 0 && theirs >= 0 && ::setns(theirs, CLONE_NEWIPC) == 0) {
    seminfo info = {};
    const int highest = ::semctl(0, 0, SEM_INFO, &info);
    for (int i = 0; i <= highest; ++i) {
      semid_ds state = {};
      const int id = ::semctl(i, 0, SEM_STAT, &state);
      if (id >= 0) sets.push_back({.id = id, .count = static_cast<int>(state.sem_nsems)});
    }
    if (::setns(own, CLONE_NEWIPC) != 0) {
      std::fprintf(stderr, "Error (holdfast): cannot leave an IPC namespace\n");
      ::_exit(1);
    }
  }
  if (own >= 0) ::close(own);
  if (theirs >= 0) ::close(theirs);
  return sets;
}

// Reads one adjustment, which no call tells. The kernel refuses what would make one too large
// (ERANGE); so operations are tried, in one call, that would be refused if it is large enough, and
// of which the last cannot be done: nothing ever changes. In between the semaphore may have any
// value, because no other process sees it.
class Adjustment {
 public:
  Adjustment(BorrowedThread& thread, int set, int number, int value)
      : thread_(thread), set_(set), number_(static_cast<unsigned short>(number)), value_(value) {}

  int Read() {
    if (IsAtLeast(1)) return Bisect([this](int limit) { return IsAtLeast(limit); });
    if (IsAtMost(-1)) return -Bisect([this](int limit) { return IsAtMost(-limit); });
    return 0;
  }

 private:
  sembuf Operation(int change, int flags = 0) const {
    return {number_, static_cast<short>(change), static_cast<short>(flags | IPC_NOWAIT)};
  }
  bool IsTooLarge(std::initializer_list<sembuf> operations) {
    const uint64_t room = thread_.room();
    if (room == 0 || !thread_.Write(room, operations.begin(), operations.size() * sizeof(sembuf)))
      return false;
    return thread_.Call(SYS_semop, {static_cast<uint64_t>(set_), room, operations.size()}) ==
           -ERANGE;
  }
  // 1 to kLargest. Taking that much back makes it larger.
  bool IsAtLeast(int limit) {
    return IsTooLarge({Operation(-value_), Operation(kLargest),
                       Operation(-(kLargest + 1 - limit), SEM_UNDO), Operation(-kLargest)});
  }
  // -1 to -kLargest.
  bool IsAtMost(int limit) {
    const int change = kLargest + 2 + limit;
    if (change <= kLargest)
      return IsTooLarge({Operation(-value_), Operation(change, SEM_UNDO), Operation(0)});
    return IsTooLarge({Operation(-value_), Operation(kLargest, SEM_UNDO), Operation(-kLargest),
                       Operation(change - kLargest, SEM_UNDO), Operation(0)});
  }
  // The largest limit that holds; 1 does.
  template <class Holds>
  int Bisect(Holds holds) {
    int low = 1, high = kLargest;
    while (low < high) {
      const int middle = (low + high + 1) / 2;
      if (holds(middle))
        low = middle;
      else
        high = middle - 1;
    }
    return low;
  }

  BorrowedThread& thread_;
  const int set_;
  const unsigned short number_;
  const int value_;
};

bool NoteUndos(BorrowedThread& thread, pid_t process, std::span<const SemaphoreSet> sets) {
  for (const SemaphoreSet& set : sets)
    for (int number = 0; number < set.count; ++number) {
      const int64_t value = thread.Call(
          SYS_semctl, {static_cast<uint64_t>(set.id), static_cast<uint64_t>(number), GETVAL});
      if (value < 0) continue;  // not one that this process may change
      const int adjustment = Adjustment(thread, set.id, number, static_cast<int>(value)).Read();
      if (adjustment == 0) continue;
      const SemaphoreUndo undo{.process = process,
                               .set = set.id,
                               .number = number,
                               .value = static_cast<int32_t>(value),
                               .adjustment = adjustment};
      if (::write(kUnseenFd, &undo, sizeof undo) != sizeof undo)
        return Refuse("cannot note what semaphores are to take back", process);
    }
  return true;
}

}  // namespace

bool LookWithin(pid_t tid) {
  static const bool has_keys = UserHasKeys();
  static const bool has_protection_keys = ProcessorHasProtectionKeys();
  static const std::vector<SemaphoreSet> sets = SemaphoreSets(tid);
  const bool is_main = ::syscall(SYS_tgkill, tid, tid, 0) == 0;
  if (!has_keys && !(is_main && (has_protection_keys || !sets.empty()))) return true;

  BorrowedThread thread(tid);
  if (!thread.valid()) return true;  // a 32-bit program
  if (has_keys &&
      (HoldsKeys(thread, KEY_SPEC_SESSION_KEYRING) || HoldsKeys(thread, KEY_SPEC_PROCESS_KEYRING) ||
       HoldsKeys(thread, KEY_SPEC_THREAD_KEYRING)))
    return Refuse("keyring", tid);
  if (!is_main) return true;
  if (has_protection_keys && HasProtectionKeys(thread)) return Refuse("protection keys", tid);
  return NoteUndos(thread, tid, sets);
}

}  // namespace holdfast::warden
