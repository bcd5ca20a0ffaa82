// The same work on many pieces by several threads. For pieces that take long enough to be worth it;
// the caller's thread works too, and its file identity is what the others start with.
#pragma once

#include <cstddef>
#include <functional>

#include "base/result.h"

namespace holdfast {

// Calls work(i) once for every i in [0, count), in order of i as far as threads allow; returns when
// all calls have returned. After the first failure no further call starts, and that failure is
// returned.
Status ForEachParallel(unsigned threads, size_t count, const std::function<Status(size_t)>& work);

}  // namespace holdfast
