#include "warden/memory/lazy_memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>

#include "base/descriptor_passing.h"
#include "warden/criu/images.h"
#include "warden/memory/userfault.h"

namespace holdfast::warden {
namespace {

// criu/uffd.c of CRIU 4.2: the name, relative to its work directory; and on the socket, for each
// process its pid as an int (negative: a zombie, which has no memory), then one byte with the
// descriptor; at the end this in a pid's place.
constexpr const char* kSocketName = "lazy-pages.socket";
constexpr int kRestoreFinished = 0x52535446;
// It is in the socket when CRIU says that it has restored.
constexpr std::chrono::seconds kHandOverTimeout{10};

Result<UniqueFd> ListenIn(const UniqueFd& directory, const Identity& owner) {
  UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener.valid()) return FailErrno("making a socket for CRIU");
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  const std::string path = fmt::format("/proc/self/fd/{}/{}", directory.get(), kSocketName);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener.get(), 1) != 0)
    return FailErrno("listening for CRIU");
  if (::fchownat(directory.get(), kSocketName, owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0)
    return FailErrno("giving CRIU its socket");
  return listener;
}

Result<UniqueFd> ReceiveDescriptor(const UniqueFd& socket) {
  std::byte byte{};
  auto received = ReceiveWithDescriptor(socket, std::span(&byte, 1));
  if (!received)
    return std::unexpected(std::move(received).error().Wrap("taking a process's memory from CRIU"));
  if (!received->descriptor.valid())
    return Fail(Code::kInternal, "taking a process's memory from CRIU: no descriptor came");
  return std::move(received->descriptor);
}

}  // namespace

Result<std::unique_ptr<LazyMemory>> LazyMemory::Listen(const UniqueFd& directory,
                                                       std::map<pid_t, LazyProcess> processes,
                                                       storage::PodReader& reader,
                                                       LazyOptions options) {
  HOLDFAST_TRY(UniqueFd listener, ListenIn(directory, options.owner));
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return FailErrno("eventfd");
  return std::unique_ptr<LazyMemory>(new LazyMemory(
      std::move(processes), reader, std::move(options), std::move(listener), std::move(wake)));
}

LazyMemory::LazyMemory(std::map<pid_t, LazyProcess> processes, storage::PodReader& reader,
                       LazyOptions options, UniqueFd listener, UniqueFd wake)
    : reader_(reader),
      options_(std::move(options)),
      listener_(std::move(listener)),
      wake_(std::move(wake)),
      processes_(std::move(processes)) {
  for (const auto& [pid, process] : processes_) total_bytes_ += process.missing.size_bytes();
  threads_.emplace_back([this](const std::stop_token& stop) { Serve(stop); });
  for (unsigned i = 0; i < std::max(1U, options_.threads); ++i)
    threads_.emplace_back([this] { Work(); });
}

LazyMemory::~LazyMemory() {
  bool missing = false;
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    missing = !done_;
  }
  if (missing) options_.kill();
  work_.notify_all();
  Wake();
}

Status LazyMemory::Prefetch() {
  {
    std::unique_lock lock(mutex_);
    settled_.wait_for(lock, kHandOverTimeout, [this] { return processes_.empty() || failure_; });
    if (failure_) return std::unexpected(*failure_);
    if (!processes_.empty())
      return Fail(Code::kInternal, fmt::format("CRIU did not hand over the memory of process {}",
                                               processes_.begin()->first));
    prefetch_ = true;
    prefetch_begin_ = Clock::now();
  }
  work_.notify_all();
  Wake();
  return {};
}

Status LazyMemory::Wait(Clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  if (!settled_.wait_until(lock, deadline, [this] { return done_ || failure_; }))
    return Fail(Code::kTimeout, "the memory that the restored processes had has not all arrived");
  if (failure_) return std::unexpected(*failure_);
  return {};
}

std::optional<Error> LazyMemory::failure() {
  const std::lock_guard lock(mutex_);
  return failure_;
}

void LazyMemory::Lose(Error error) {
  {
    const std::lock_guard lock(mutex_);
    if (failure_ || stop_) return;
    failure_ = std::move(error).Wrap("bringing back memory");
  }
  options_.kill();
  work_.notify_all();
  settled_.notify_all();
  Wake();
}

void LazyMemory::Wake() const { ::eventfd_write(wake_.get(), 1); }

// ---- what the kernel tells ----

void LazyMemory::Serve(const std::stop_token& stop) {
  std::vector<SpacePtr> spaces;
  while (true) {
    if (Complete()) return options_.afterwards(stop);
    {
      const std::lock_guard lock(mutex_);
      if (stop_ || failure_) return;
      spaces = spaces_;
    }
    if (Status served = ServeOnce(spaces); !served) return Lose(std::move(served).error());
    spaces.clear();
  }
}

Status LazyMemory::ServeOnce(std::vector<SpacePtr>& spaces) {
  std::vector<pollfd> polled = {{.fd = wake_.get(), .events = POLLIN, .revents = 0},
                                {.fd = connection_.valid() ? connection_.get() : listener_.get(),
                                 .events = POLLIN,
                                 .revents = 0}};
  for (const SpacePtr& space : spaces)
    polled.push_back({.fd = space->fd.get(), .events = POLLIN, .revents = 0});
  if (::poll(polled.data(), polled.size(), -1) < 0)
    return errno == EINTR ? Status{} : FailErrno("waiting for what restored processes do");
  if (polled[0].revents != 0) {
    eventfd_t count;
    ::eventfd_read(wake_.get(), &count);
  }
  if (polled[1].revents != 0) HOLDFAST_CHECK(connection_.valid() ? ReceiveProcess() : Accept());
  for (size_t i = 0; i < spaces.size(); ++i)
    if ((polled[i + 2].revents & POLLIN) != 0) HOLDFAST_CHECK(ReadEvents(spaces[i]));
  return {};
}

Status LazyMemory::Accept() {
  connection_.Reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!connection_.valid()) return errno == EAGAIN ? Status{} : FailErrno("listening for CRIU");
  listener_.Reset();
  return {};
}

Status LazyMemory::ReceiveProcess() {
  int pid = 0;
  const ssize_t n = ::recv(connection_.get(), &pid, sizeof pid, MSG_WAITALL);
  const bool whole = n == static_cast<ssize_t>(sizeof pid);
  // If it ended early, CRIU itself tells restore.
  if (n == 0 || (whole && pid == kRestoreFinished)) {
    connection_.Reset();
    return {};
  }
  if (!whole) return FailErrno("listening to CRIU");
  if (pid < 0) return {};
  const auto space = std::make_shared<Space>();
  HOLDFAST_TRY(space->fd, ReceiveDescriptor(connection_));
  HOLDFAST_CHECK(options_.hold(space->fd));
  const std::lock_guard lock(mutex_);
  if (const auto process = processes_.extract(pid)) {
    space->stream = process.mapped().stream;
    space->missing = std::move(process.mapped().missing);
  }  // otherwise nothing of it is lazy; what it touches is zero
  spaces_.push_back(space);
  if (processes_.empty()) settled_.notify_all();
  return {};
}

Status LazyMemory::ReadEvents(const SpacePtr& space) {
  std::unique_lock gate(space->gate);
  const std::unique_lock exclusive(space->addresses);
  gate.unlock();
  while (true) {
    uffd_msg event;
    const ssize_t n = ::read(space->fd.get(), &event, sizeof event);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return {};
    if (n != static_cast<ssize_t>(sizeof event))
      return FailErrno("reading what a restored process does");
    switch (event.event) {
      case UFFD_EVENT_PAGEFAULT:
        HOLDFAST_CHECK(OnFault(space, event.arg.pagefault.address & ~(PageBytes() - 1)));
        break;
      case UFFD_EVENT_FORK:
        HOLDFAST_CHECK(OnFork(space, static_cast<int>(event.arg.fork.ufd)));
        break;
      case UFFD_EVENT_REMAP:
        OnMove(*space, event.arg.remap.from, event.arg.remap.to, event.arg.remap.len);
        break;
      case UFFD_EVENT_REMOVE:  // madvise(2): it reads as zero from now on
      case UFFD_EVENT_UNMAP:
        OnRemove(*space, event.arg.remove.start, event.arg.remove.end - event.arg.remove.start);
        break;
      default:
        return Fail(Code::kInternal,
                    fmt::format("the kernel tells of event {} of a process", event.event));
    }
  }
}

Status LazyMemory::OnFault(const SpacePtr& space, uint64_t address) {
  {
    const std::lock_guard lock(mutex_);
    if (space->missing.Has(address)) {
      asked_.emplace_back(space, address);
      work_.notify_one();
      return {};
    }
  }
  // It was zero when it was saved, or has become so since.
  HOLDFAST_TRY(const Fill how, FillZero(space->fd, address));
  if (how != Fill::kDone) WakePages(space->fd, address, PageBytes());
  return {};
}

// The child has the pages that its parent had, and misses those that it missed.
Status LazyMemory::OnFork(const SpacePtr& parent, int fd) {
  const auto child = std::make_shared<Space>();
  child->fd.Reset(fd);
  HOLDFAST_CHECK(options_.hold(child->fd));
  child->stream = parent->stream;
  const std::lock_guard lock(mutex_);
  child->missing = parent->missing;
  spaces_.push_back(child);
  work_.notify_all();
  return {};
}

// Who waits for a page at an address that means something else now, asks again.
void LazyMemory::OnMove(Space& space, uint64_t from, uint64_t to, uint64_t size_bytes) {
  {
    const std::lock_guard lock(mutex_);
    space.missing.Move(from, to, size_bytes);
  }
  WakePages(space.fd, from, size_bytes);
}

void LazyMemory::OnRemove(Space& space, uint64_t address, uint64_t size_bytes) {
  {
    const std::lock_guard lock(mutex_);
    space.missing.Drop(address, size_bytes);
  }
  WakePages(space.fd, address, size_bytes);
}

bool LazyMemory::Complete() {
  std::vector<SpacePtr> spaces;
  std::deque<std::pair<SpacePtr, uint64_t>> stale;
  std::chrono::nanoseconds took{};
  {
    const std::lock_guard lock(mutex_);
    if (!prefetch_ || failure_) return false;
    std::erase_if(spaces_,
                  [](const SpacePtr& space) { return space->gone && space->in_work == 0; });
    if (!std::ranges::all_of(spaces_, [](const SpacePtr& space) {
          return space->missing.empty() && space->in_work == 0;
        }))
      return false;
    spaces.swap(spaces_);
    stale.swap(asked_);
    took = Clock::now() - prefetch_begin_;
  }
  // From here on what is not there reads as zero, as it did when it was saved. Who asks in between
  // waits until the last descriptor has been closed.
  spaces.clear();
  stale.clear();
  options_.let_go();
  options_.complete(total_bytes_, took);
  {
    const std::lock_guard lock(mutex_);
    done_ = true;
  }
  work_.notify_all();
  settled_.notify_all();
  return true;
}

}  // namespace holdfast::warden
