#include "warden/criu/unseen.h"

#include <cpuid.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/kcmp.h>
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
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <span>
#include <utility>
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

bool Note(const Unseen& unseen) {
  return ::write(kUnseenFd, &unseen, sizeof unseen) == sizeof unseen ||
         Refuse("cannot note what it is to have again", unseen.process);
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
      if (!Note({.process = process,
                 .lock_flags = 0,
                 .undo = {.set = set.id,
                          .number = number,
                          .value = static_cast<int32_t>(value),
                          .adjustment = adjustment}}))
        return false;
    }
  return true;
}

// --- what is in /proc/PID/status

struct Signs {
  bool locks_memory = false;
  bool may_be_restricted = false;  // Landlock wants no_new_privs
};

Signs SignsOf(pid_t process) {
  Signs signs;
  char path[32];
  std::snprintf(path, sizeof path, "/proc/%d/status", process);
  ForEachLine(path, [&](const char* line) {
    unsigned long value = 0;
    if (std::sscanf(line, "VmLck: %lu", &value) == 1) signs.locks_memory = value != 0;
    if (std::sscanf(line, "NoNewPrivs: %lu", &value) == 1) signs.may_be_restricted = value != 0;
  });
  return signs;
}

// --- mlockall(2)

// What a new mapping gets is what the process has asked for: msync(2) refuses to forget what is
// locked, and what is locked without MCL_ONFAULT is there at once.
int FutureLocks(BorrowedThread& thread) {
  constexpr uint64_t kSize = 4096;
  const uint64_t room = thread.room();
  const int64_t made = thread.Call(
      SYS_mmap, {0, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, Number(-1), 0});
  if (made < 0 || room == 0) return 0;
  const auto mapping = static_cast<uint64_t>(made);
  const bool locked = thread.Call(SYS_msync, {mapping, kSize, MS_INVALIDATE}) == -EBUSY;
  unsigned char resident = 0;
  const bool told = thread.Call(SYS_mincore, {mapping, kSize, room}) == 0 &&
                    thread.Read(room, &resident, sizeof resident);
  thread.Call(SYS_munmap, {mapping, kSize});
  if (!locked) return 0;
  return told && (resident & 1) == 0 ? MCL_FUTURE | MCL_ONFAULT : MCL_FUTURE;
}

// A locked mapping that is restored is all there at once, which may be much.
bool LocksOnFault(pid_t process) {
  bool found = false;
  char path[32];
  std::snprintf(path, sizeof path, "/proc/%d/smaps", process);
  ForEachLine(path, [&](const char* line) {
    found =
        found || (std::strncmp(line, "VmFlags:", 8) == 0 && std::strstr(line, " lf") != nullptr);
  });
  return found;
}

// --- unshare(2)

// What its threads have each for itself, in the words of dump_refusal.cc; nullptr: nothing.
const char* ThreadsOwn(pid_t process) {
  constexpr std::pair<int, const char*> kShared[] = {{KCMP_FS, "directory of a thread"},
                                                     {KCMP_FILES, "descriptors of a thread"}};
  char path[32];
  std::snprintf(path, sizeof path, "/proc/%d/task", process);
  DIR* const threads = ::opendir(path);
  if (threads == nullptr) return nullptr;
  const char* found = nullptr;
  while (const dirent* const entry = ::readdir(threads)) {
    const pid_t thread = std::atoi(entry->d_name);
    if (thread <= 0 || thread == process) continue;
    for (const auto& [what, words] : kShared)
      if (::syscall(SYS_kcmp, process, thread, what, 0, 0) > 0) found = words;
  }
  ::closedir(threads);
  return found;
}

// --- Landlock

// Who is in a domain may not look at who is not (security/landlock/task.c of Linux), such as the
// pod's first process, which the kernel would else let every process of the user do.
bool IsRestricted(BorrowedThread& thread, pid_t process, pid_t first) {
  return thread.Call(SYS_kcmp, {static_cast<uint64_t>(process), static_cast<uint64_t>(first),
                                KCMP_VM}) == -EPERM;
}

// --- PR_SET_SYSCALL_USER_DISPATCH

bool IsDispatched(pid_t tid) {
  constexpr long kGetConfiguration = 0x4211;  // PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, Linux 6.4
  struct {
    uint64_t mode, selector, offset, length;
  } configuration = {};
  return ::syscall(SYS_ptrace, kGetConfiguration, tid, sizeof configuration, &configuration) == 0 &&
         configuration.mode != 0;
}

}  // namespace

bool LookWithin(pid_t tid) {
  static const bool has_keys = UserHasKeys();
  static const bool has_protection_keys = ProcessorHasProtectionKeys();
  static const std::vector<SemaphoreSet> sets = SemaphoreSets(tid);
  static const pid_t first = tid;
  const bool is_main = ::syscall(SYS_tgkill, tid, tid, 0) == 0;
  if (IsDispatched(tid)) return Refuse("dispatched calls", tid);
  if (const char* own = is_main ? ThreadsOwn(tid) : nullptr) return Refuse(own, tid);
  const Signs signs = is_main ? SignsOf(tid) : Signs{};
  const bool is_asked =
      has_protection_keys || !sets.empty() || signs.locks_memory || signs.may_be_restricted;
  if (signs.locks_memory && LocksOnFault(tid)) return Refuse("locked on fault", tid);
  if (!has_keys && !(is_main && is_asked)) return true;

  BorrowedThread thread(tid);
  if (!thread.valid()) return true;  // a 32-bit program
  if (has_keys &&
      (HoldsKeys(thread, KEY_SPEC_SESSION_KEYRING) || HoldsKeys(thread, KEY_SPEC_PROCESS_KEYRING) ||
       HoldsKeys(thread, KEY_SPEC_THREAD_KEYRING)))
    return Refuse("keyring", tid);
  if (!is_main) return true;
  if (signs.may_be_restricted && IsRestricted(thread, tid, first)) return Refuse("landlock", tid);
  if (const int flags = signs.locks_memory ? FutureLocks(thread) : 0; flags != 0)
    if (!Note({.process = tid, .lock_flags = flags, .undo = {}})) return false;
  if (has_protection_keys && HasProtectionKeys(thread)) return Refuse("protection keys", tid);
  return NoteUndos(thread, tid, sets);
}

}  // namespace holdfast::warden
