// How `holdfast` ends. Scripts rely on the numbers: do not change.
#pragma once

#include "base/result.h"

namespace holdfast::cli {

enum class ExitCode : int {
  kOk = 0,
  kFailed = 1,       // the operation failed; for doctor: something is not fit
  kUsage = 2,        // the command line, or a value in it, is wrong
  kNotFound = 3,     // no such job or checkpoint
  kDenied = 4,       // not yours, or not authenticated
  kConflict = 5,     // the job's state does not allow it now
  kUnavailable = 6,  // the coordinator (or munged) does not answer; trying again may help
};

inline ExitCode ExitCodeFor(Code code) {
  switch (code) {
    case Code::kInvalid:
      return ExitCode::kUsage;
    case Code::kNotFound:
      return ExitCode::kNotFound;
    case Code::kDenied:
      return ExitCode::kDenied;
    case Code::kConflict:
      return ExitCode::kConflict;
    case Code::kUnavailable:
    case Code::kTimeout:
      return ExitCode::kUnavailable;
    default:
      return ExitCode::kFailed;
  }
}

}  // namespace holdfast::cli
