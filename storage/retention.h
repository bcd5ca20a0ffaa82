// What goes when checkpoints grow old: JobStore::Prune (storage/checkpoint.h).
#pragma once

#include <cstdint>
#include <set>

#include "base/result.h"
#include "storage/commit.h"

namespace holdfast::storage {

Result<Pruned> PruneCheckpoints(const Job& job, uint32_t keep, const std::set<uint32_t>& spared,
                                const std::set<uint32_t>& unwanted);

}  // namespace holdfast::storage
