#include "warden/memory/userfault.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "base/files.h"
#include "warden/criu/images.h"

namespace holdfast::warden {
namespace {

// What CRIU asks for too (NEED_UFFD_API_FEATURES in criu/uffd.c of 4.2).
constexpr uint64_t kFeatures = UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP |
                               UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_EVENT_REMOVE;

// Of the errors of UFFDIO_COPY and UFFDIO_ZEROPAGE, see ioctl_userfaultfd(2); ESRCH was ENOSPC
// before Linux 4.14.
Result<Fill> Judge(int error) {
  switch (error) {
    case EEXIST:
      return Fill::kPresent;
    case ENOENT:
      return Fill::kNoMapping;
    case EAGAIN:
      return Fill::kBusy;
    case ESRCH:
      return Fill::kGone;
    default:
      return std::unexpected(Error::FromErrno("filling memory of a restored process", error));
  }
}

}  // namespace

Status CheckUserfaultfd() {
  const UniqueFd fd(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK)));
  if (!fd.valid())
    return Fail(Code::kUnsupported,
                std::string("userfaultfd is not permitted here, or not in the kernel: ") +
                    std::strerror(errno));
  uffdio_api api{.api = UFFD_API, .features = kFeatures, .ioctls = 0};
  if (::ioctl(fd.get(), UFFDIO_API, &api) != 0)
    return Fail(Code::kUnsupported,
                std::string("userfaultfd does not tell what processes do to their mappings: ") +
                    std::strerror(errno));
  return {};
}

Result<Filled> FillPages(const UniqueFd& fd, uint64_t address, std::span<const std::byte> data) {
  uffdio_copy request{.dst = address,
                      .src = reinterpret_cast<uint64_t>(data.data()),
                      .len = data.size(),
                      .mode = 0,
                      .copy = 0};
  if (::ioctl(fd.get(), UFFDIO_COPY, &request) == 0) return Filled{.size_bytes = data.size()};
  if (request.copy > 0) return Filled{.size_bytes = static_cast<uint64_t>(request.copy)};
  HOLDFAST_TRY(const Fill how, Judge(errno));
  return Filled{.how = how};
}

Result<Fill> FillZero(const UniqueFd& fd, uint64_t address) {
  uffdio_zeropage request{
      .range = {.start = address, .len = PageBytes()}, .mode = 0, .zeropage = 0};
  if (::ioctl(fd.get(), UFFDIO_ZEROPAGE, &request) == 0) return Fill::kDone;
  return Judge(errno);
}

void WakePages(const UniqueFd& fd, uint64_t address, uint64_t size_bytes) {
  uffdio_range range{.start = address, .len = size_bytes};
  // Fails only for a range that is none, or a process that is gone.
  ::ioctl(fd.get(), UFFDIO_WAKE, &range);
}

Status CheckWriteTracking() {
  const UniqueFd fd(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK)));
  if (!fd.valid())
    return Fail(Code::kUnsupported,
                std::string("userfaultfd is not permitted here, or not in the kernel: ") +
                    std::strerror(errno));
  return EnableWriteTracking(fd);
}

Status EnableWriteTracking(const UniqueFd& fd) {
  HOLDFAST_TRY(const std::string what, ReadLink("/proc/self/fd/" + std::to_string(fd.get())));
  if (what != "anon_inode:[userfaultfd]") return Fail(Code::kInvalid, what + " is no userfaultfd");
  uffdio_api api{.api = UFFD_API, .features = UFFD_FEATURE_WP_ASYNC, .ioctls = 0};
  if (::ioctl(fd.get(), UFFDIO_API, &api) != 0)
    return Fail(Code::kUnsupported,
                std::string("the kernel does not tell what is written, for which it has to be "
                            "Linux 6.7 or later: ") +
                    std::strerror(errno));
  return {};
}

Result<bool> RegisterWrites(const UniqueFd& fd, AddressRange where) {
  uffdio_register request{.range = {.start = where.begin, .len = where.end - where.begin},
                          .mode = UFFDIO_REGISTER_MODE_WP,
                          .ioctls = 0};
  if (::ioctl(fd.get(), UFFDIO_REGISTER, &request) == 0) return true;
  if (errno == EBUSY || errno == EINVAL || errno == EPERM) return false;
  return FailErrno("registering memory to know what is written");
}

bool IsGone(const UniqueFd& fd) {
  // Where there never is memory.
  uffdio_writeprotect request{.range = {.start = 0, .len = PageBytes()}, .mode = 0};
  return ::ioctl(fd.get(), UFFDIO_WRITEPROTECT, &request) != 0 && errno == ESRCH;
}

Status Unprotect(const UniqueFd& fd, AddressRange where) {
  uffdio_writeprotect request{.range = {.start = where.begin, .len = where.end - where.begin},
                              .mode = 0};
  if (::ioctl(fd.get(), UFFDIO_WRITEPROTECT, &request) != 0)
    return FailErrno("taking protection off memory");
  return {};
}

}  // namespace holdfast::warden
