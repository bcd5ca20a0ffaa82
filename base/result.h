// The one error model of the tree: every operation that can fail returns Result<T>.
//
// An Error says what kind of failure it is (for code), the errno if there was one, and a message
// for people that reads from the outermost operation to the cause: "saving checkpoint 17: opening
// /ckpt/4242: Permission denied". Context is added on the way up with Error::Wrap. Thread-safe as
// values are.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace holdfast {

// What a caller may want to decide on. Sent over the wire by name (CodeName): do not rename.
enum class Code {
  kInternal,     // a broken invariant or an unexpected answer: a bug, ours or another's
  kInvalid,      // the input is wrong; trying again cannot help
  kNotFound,     // the thing named does not exist
  kDenied,       // identity or permission
  kConflict,     // the state does not allow it now
  kUnavailable,  // a peer or resource is away; trying again may help
  kNoSpace,      // a disk, quota or bucket is full
  kCorrupt,      // data does not match its digest or authentication
  kChanged,      // files are not as the checkpoint left them
  kUnsupported,  // this kernel, CRIU, CPU or workload cannot do it
  kTimeout,      // a deadline passed
  kCancelled,    // given up on request
  kUnfit,        // this node lacks what the job needs, and another may have it
};

std::string_view CodeName(Code code);
// The code of that name, or kInternal for a name this version does not know.
Code CodeFromName(std::string_view name);

class [[nodiscard]] Error {
 public:
  Error(Code code, std::string message, int errno_value = 0)
      : code_(code), errno_(errno_value), message_(std::move(message)) {}

  // "operation: strerror(err)" with the code that errno stands for.
  static Error FromErrno(std::string_view operation, int err);
  // The same for the current errno.
  static Error Errno(std::string_view operation);

  // The same error seen from one operation further out.
  Error Wrap(std::string_view operation) &&;

  Code code() const { return code_; }
  int errno_value() const { return errno_; }
  const std::string& message() const { return message_; }

 private:
  Code code_;
  int errno_;
  std::string message_;
};

template <typename T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

// `return Fail(Code::kInvalid, "...")` from any function that returns a Result.
inline std::unexpected<Error> Fail(Code code, std::string message) {
  return std::unexpected(Error(code, std::move(message)));
}
inline std::unexpected<Error> FailErrno(std::string_view operation) {
  return std::unexpected(Error::Errno(operation));
}

}  // namespace holdfast

#define HOLDFAST_CONCAT_(a, b) a##b
#define HOLDFAST_CONCAT(a, b) HOLDFAST_CONCAT_(a, b)

// Returns the error of a Status or Result expression, if it has one.
#define HOLDFAST_CHECK(expression)                                          \
  do {                                                                      \
    if (auto holdfast_status = (expression); !holdfast_status) [[unlikely]] \
      return std::unexpected(std::move(holdfast_status).error());           \
  } while (false)

// HOLDFAST_TRY(auto fd, OpenFile(path)): declares or assigns the value, or returns the error.
#define HOLDFAST_TRY(target, expression) \
  HOLDFAST_TRY_(HOLDFAST_CONCAT(holdfast_result_, __LINE__), target, expression)
#define HOLDFAST_TRY_(result, target, expression)      \
  auto result = (expression);                          \
  if (!result) [[unlikely]]                            \
    return std::unexpected(std::move(result).error()); \
  target = std::move(*result)
