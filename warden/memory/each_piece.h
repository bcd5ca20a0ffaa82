// The same work on pieces that are made one after the other, so that there never are more of them
// than threads. Used by frozen_memory.cc and precopy_memory.cc.
#pragma once

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>

#include "base/parallel.h"
#include "base/result.h"

namespace holdfast::warden {

// Calls work(piece) for all that next() gives, a Result<std::optional<Piece>>, until it gives
// nothing. One thread at a time calls next. After the first failure no further call of either
// starts, and that failure is returned.
template <typename Next, typename Work>
Status ForEachPiece(unsigned threads, Next next, Work work) {
  std::mutex mutex;
  bool over = false;
  const auto take = [&] {
    const std::lock_guard lock(mutex);
    if (over) return decltype(next())();
    auto piece = next();
    over = !piece || !*piece;
    return piece;
  };
  return ForEachParallel(threads, std::max(threads, 1U), [&](size_t) -> Status {
    while (true) {
      HOLDFAST_TRY(auto piece, take());
      if (!piece) return {};
      if (Status done = work(*piece); !done) {
        const std::lock_guard lock(mutex);
        over = true;
        return done;
      }
    }
  });
}

}  // namespace holdfast::warden
