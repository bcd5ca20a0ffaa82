// How a pod writer's memory is divided: WriteOptions::memory_budget_bytes holds for its buffers and
// its tables together, however much is put (docs/adr/0019-tables-in-shards.md).
#pragma once

#include <cstddef>
#include <cstdint>

#include "storage/checkpoint.h"

namespace holdfast::storage {

struct Budget {
  size_t lanes = 1;        // packs written at once, each with a write buffer
  size_t compressors = 1;  // pieces compressed at once
  size_t known_bytes = 0;  // of KnownBlobs
  size_t shards = 1;       // kept of each part that is compared with

  // `write_bytes`: of the back end.
  Budget(const WriteOptions& options, size_t write_bytes);
  // What all of it takes together.
  uint64_t size_bytes(size_t write_bytes) const;
};

// A part is not compared with if its file is larger, as it has to be read as a whole.
uint64_t LargestPartRead(const WriteOptions& options);
// Nor if it is of a release before shards, and its tables are larger: they would have to stay.
uint64_t LargestTablesKept(const WriteOptions& options);

}  // namespace holdfast::storage
