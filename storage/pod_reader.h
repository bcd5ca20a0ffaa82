// The implementation of PodReader (storage/checkpoint.h). Made by job_store.cc from a part that has
// been verified.
#pragma once

#include <memory>

#include "storage/backend.h"
#include "storage/checkpoint.h"
#include "storage/part.h"

namespace holdfast::storage {

Result<std::unique_ptr<PodReader>> MakePodReader(std::shared_ptr<Backend> backend, Part part);

// Reads every blob of the part: kCorrupt names the first that is damaged.
Status VerifyBlobs(Backend& backend, const Part& part, unsigned threads);

}  // namespace holdfast::storage
