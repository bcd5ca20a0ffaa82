// The implementation of PodWriter (storage/checkpoint.h): streams, images and tables, in front of
// the pipeline. Made by job_store.cc.
#pragma once

#include <memory>
#include <optional>

#include "storage/backend.h"
#include "storage/checkpoint.h"
#include "storage/extent_index.h"

namespace holdfast::storage {

struct PodWriterTarget {
  std::shared_ptr<Backend> backend;
  uint32_t job_id = 0;
  uint32_t checkpoint = 0;
  uint32_t pod = 0;
  std::optional<SiteKey> encryption;  // seals what is written
};

std::unique_ptr<PodWriter> MakePodWriter(PodWriterTarget target, ExtentIndex index,
                                         const WriteOptions& options);

}  // namespace holdfast::storage
