// JobStore (storage/checkpoint.h) over any back end: what JobStore::Open does after it has chosen
// one, and what tests use to put a failing one below it.
#pragma once

#include <memory>

#include "storage/backend.h"
#include "storage/checkpoint.h"

namespace holdfast::storage {

std::unique_ptr<JobStore> MakeJobStore(std::shared_ptr<Backend> backend, JobName job, uid_t uid,
                                       const Keys& keys);

}  // namespace holdfast::storage
