// The implementation of PodReader (storage/checkpoint.h). Made by job_store.cc from a part that has
// been verified.
#pragma once

#include <memory>

#include "storage/backend.h"
#include "storage/checkpoint.h"
#include "storage/part.h"

namespace holdfast::storage {

// Of the part's shards that lie in packs, a reader keeps so many: 16 MiB, 12 GiB of memory.
inline constexpr size_t kShardsOfReader = 32;

Result<std::unique_ptr<PodReader>> MakePodReader(std::shared_ptr<Backend> backend, Part part);

// Reads every blob of the part: kCorrupt names the first that is damaged. Returns how many bytes
// of packs that was.
Result<uint64_t> VerifyBlobs(Backend& backend, Part part, unsigned threads);

}  // namespace holdfast::storage
