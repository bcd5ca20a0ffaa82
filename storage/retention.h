// What goes when checkpoints grow old: JobStore::Prune (storage/checkpoint.h).
#pragma once

#include "base/result.h"
#include "storage/commit.h"

namespace holdfast::storage {

Status PruneCheckpoints(const Job& job, uint32_t keep);

}  // namespace holdfast::storage
