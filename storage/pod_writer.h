// The implementation of PodWriter (storage/checkpoint.h): streams, images and tables, in front of
// the pipeline. Made by job_store.cc.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "storage/backend.h"
#include "storage/checkpoint.h"
#include "storage/part.h"

namespace holdfast::storage {

struct PodWriterTarget {
  std::shared_ptr<Backend> backend;
  JobName job;
  uint32_t checkpoint = 0;
  uint32_t pod = 0;
  std::optional<SiteKey> encryption;  // seals what is written
};

// What the pod's newest checkpoint has.
struct PreviousPart {
  Part part;
  // By pack: whether it is there and whole. Blobs in the others are not used again.
  std::vector<bool> usable;
  std::function<std::optional<std::string>(const std::string&)> image;
};

std::unique_ptr<PodWriter> MakePodWriter(PodWriterTarget target,
                                         std::optional<PreviousPart> previous,
                                         const WriteOptions& options);

}  // namespace holdfast::storage
