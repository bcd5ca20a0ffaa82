#include "warden/criu/terminals.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <set>
#include <utility>

#include "base/files.h"
#include "base/numbers.h"
#include "base/unique_fd.h"
#include "warden/criu/terminal_queues.h"
#include "warden_images/terminals.pb.h"

namespace holdfast::warden {
namespace {

constexpr uint32_t kVersion = 1;

// Documentation/admin-guide/devices.txt of Linux.
bool IsMaster(const struct stat& info) {
  return S_ISCHR(info.st_mode) && info.st_rdev == ::makedev(5, 2);
}
bool IsSlave(const struct stat& info) {
  return S_ISCHR(info.st_mode) && major(info.st_rdev) == 136;
}

// A descriptor of a process that is frozen.
Result<UniqueFd> Descriptor(const Pod& pod, pid_t pid, int fd) {
  HOLDFAST_TRY(const pid_t outer, pod.OuterPid(pid));
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, outer, 0)));
  if (!process.valid()) return FailErrno("opening process " + std::to_string(pid));
  UniqueFd copy(static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), fd, 0)));
  if (!copy.valid())
    return FailErrno("taking descriptor " + std::to_string(fd) + " of process " +
                     std::to_string(pid));
  return copy;
}

// Of the pair, by another open file.
Result<UniqueFd> OpenSlave(const UniqueFd& master) {
  int locked = 0;
  const int unlocked = 0;
  ::ioctl(master.get(), TIOCGPTLCK, &locked);
  if (locked != 0) ::ioctl(master.get(), TIOCSPTLCK, &unlocked);
  UniqueFd slave(::ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
  const int error = errno;
  if (locked != 0) ::ioctl(master.get(), TIOCSPTLCK, &locked);
  errno = error;
  if (!slave.valid()) return FailErrno("opening the slave of a terminal");
  return slave;
}

bool IsHungUp(const UniqueFd& master) {
  pollfd polled{.fd = master.get(), .events = 0, .revents = 0};
  return ::poll(&polled, 1, 0) == 1 && (polled.revents & POLLHUP) != 0;
}

struct Found {
  std::map<int, std::pair<pid_t, int>> masters;  // one process and descriptor for each number
  std::set<int> slaves;                          // numbers of those that are open
};

Result<Found> FindTerminals(const Pod& pod) {
  Found found;
  HOLDFAST_TRY(const auto processes, ListDirectory(pod.proc_path()));
  for (const std::string& name : processes) {
    const auto pid = ParseNumber<pid_t>(name);
    if (!pid || *pid == 1) continue;
    const std::string descriptors = pod.proc_path() + "/" + name + "/fd";
    for (const std::string& fd : ListDirectory(descriptors).value_or(std::vector<std::string>())) {
      struct stat info = {};
      if (::stat((descriptors + "/" + fd).c_str(), &info) != 0) continue;
      if (IsSlave(info)) {
        found.slaves.insert(static_cast<int>(minor(info.st_rdev)));
      } else if (IsMaster(info)) {
        const auto number = ParseNumber<int>(fd);
        if (!number) continue;
        HOLDFAST_TRY(const UniqueFd master, Descriptor(pod, *pid, *number));
        int index = 0;
        if (::ioctl(master.get(), TIOCGPTN, &index) != 0)
          return FailErrno("asking for the number of a terminal");
        found.masters.try_emplace(index, *pid, *number);
      }
    }
  }
  return found;
}

}  // namespace

Result<std::string> SaveTerminals(const Pod& pod) {
  HOLDFAST_TRY(const Found found, FindTerminals(pod));
  terminals::Terminals table;
  table.set_version(kVersion);
  for (const auto& [index, where] : found.masters) {
    HOLDFAST_TRY(const UniqueFd master, Descriptor(pod, where.first, where.second));
    const bool hung_up = IsHungUp(master);
    // Of one that never was open nobody has written anything.
    if (!hung_up && !found.slaves.contains(index)) continue;
    terminals::Terminal& terminal = *table.add_terminals();
    terminal.set_pid(where.first);
    terminal.set_fd(where.second);
    terminal.set_hung_up(hung_up);
    HOLDFAST_TRY(const UniqueFd slave, OpenSlave(master));
    struct stat info = {};
    if (::fstat(slave.get(), &info) != 0) return FailErrno("looking at a terminal");
    terminal.set_mode(info.st_mode & 07777);
    Status taken = TakeQueues(master, slave, terminal);
    Status put = PutQueues(master, slave, terminal);
    if (!taken) return std::unexpected(std::move(taken).error());
    if (!put) return std::unexpected(std::move(put).error());
  }
  return table.terminals().empty() ? "" : table.SerializeAsString();
}

Status RestoreTerminals(const Pod& pod, const std::string& contents) {
  terminals::Terminals table;
  if (!table.ParseFromString(contents) || table.version() != kVersion)
    return Fail(Code::kCorrupt, std::string(kTerminalsImage) + " cannot be read");
  for (const terminals::Terminal& terminal : table.terminals()) {
    HOLDFAST_TRY(const UniqueFd master, Descriptor(pod, terminal.pid(), terminal.fd()));
    struct stat info = {};
    if (::fstat(master.get(), &info) != 0 || !IsMaster(info))
      return Fail(Code::kCorrupt, std::string(kTerminalsImage) + " names what is no terminal");
    // Opened and closed, it is hung up.
    HOLDFAST_TRY(const UniqueFd slave, OpenSlave(master));
    if (::fchmod(slave.get(), terminal.mode() & 07777) != 0)
      return FailErrno("setting the mode of a terminal");
    HOLDFAST_CHECK(PutQueues(master, slave, terminal));
  }
  return {};
}

}  // namespace holdfast::warden
