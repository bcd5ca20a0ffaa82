// What a pod is restored from. Used by Operations alone.
#pragma once

#include <memory>

#include "storage/checkpoint.h"
#include "warden/loop/operations.h"

namespace holdfast::warden {

struct Operations::Origin {
  storage::Manifest manifest;
  std::unique_ptr<storage::JobStore> other;  // if it is another job's checkpoint
  std::unique_ptr<storage::PodReader> reader;
  std::unique_ptr<storage::PodReader> files;  // if the checkpoint has any
};

}  // namespace holdfast::warden
