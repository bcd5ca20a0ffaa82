#include "base/result.h"

#include <array>
#include <cerrno>
#include <cstring>

namespace holdfast {
namespace {

constexpr std::array<std::pair<Code, std::string_view>, 13> kNames{{
    {Code::kInternal, "internal"},
    {Code::kInvalid, "invalid"},
    {Code::kNotFound, "not-found"},
    {Code::kDenied, "denied"},
    {Code::kConflict, "conflict"},
    {Code::kUnavailable, "unavailable"},
    {Code::kNoSpace, "no-space"},
    {Code::kCorrupt, "corrupt"},
    {Code::kChanged, "changed"},
    {Code::kUnsupported, "unsupported"},
    {Code::kTimeout, "timeout"},
    {Code::kCancelled, "cancelled"},
    {Code::kUnfit, "unfit"},
}};

Code CodeOfErrno(int err) {
  switch (err) {
    case ENOENT:
    case ESRCH:
      return Code::kNotFound;
    case EACCES:
    case EPERM:
    case EROFS:
      return Code::kDenied;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return Code::kNoSpace;
    case EINVAL:
    case ENAMETOOLONG:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
      return Code::kInvalid;
    case EEXIST:
    case EBUSY:
      return Code::kConflict;
    case ETIMEDOUT:
      return Code::kTimeout;
    case ENOSYS:
    case EOPNOTSUPP:
      return Code::kUnsupported;
    case EAGAIN:
    case ECONNREFUSED:
    case ECONNRESET:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ESTALE:
      return Code::kUnavailable;
    default:
      return Code::kInternal;
  }
}

}  // namespace

std::string_view CodeName(Code code) {
  for (const auto& [value, name] : kNames)
    if (value == code) return name;
  return "internal";
}

Code CodeFromName(std::string_view name) {
  for (const auto& [value, known] : kNames)
    if (known == name) return value;
  return Code::kInternal;
}

Error Error::FromErrno(std::string_view operation, int err) {
  std::string message(operation);
  message += ": ";
  message += strerrordesc_np(err) ? strerrordesc_np(err) : "unknown error";
  return Error(CodeOfErrno(err), std::move(message), err);
}

Error Error::Errno(std::string_view operation) { return FromErrno(operation, errno); }

Error Error::Wrap(std::string_view operation) && {
  message_.insert(0, ": ");
  message_.insert(0, operation);
  return std::move(*this);
}

}  // namespace holdfast
