// Packs on their way: blobs are gathered into large sequential writes, one pack after the other.
//
// A node writes a few packs at once, because a filesystem lets only one thread at a time write to a
// file: PackWriter is one of these lanes, Packs is what they share. pipeline.cc uses them.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "storage/backend.h"
#include "storage/shard.h"

namespace holdfast::storage {

// A pack is closed when it has reached this size: few files, none so large that one live blob
// keeps much dead data alive (docs/adr/0007-extents-blobs-packs.md).
inline constexpr uint64_t kPackBytes = 1ULL << 30;

// All packs that a pod's part may come to name, numbered: first those of the checkpoint before,
// then those that are written. Thread-safe.
class Packs {
 public:
  // `encrypted`: each new one gets a key of its own. `before`: the older ones.
  Packs(Backend& backend, uint32_t checkpoint, uint32_t pod, bool encrypted,
        std::vector<PackRow> before = {})
      : backend_(backend),
        checkpoint_(checkpoint),
        pod_(pod),
        encrypted_(encrypted),
        before_(static_cast<uint32_t>(before.size())),
        rows_(std::move(before)) {}

  struct New {
    uint32_t index = 0;
    std::optional<CipherKey> key;
    std::unique_ptr<ObjectWriter> writer;
  };
  Result<New> Add();
  // The pack has been finished, with that size: it is there, and ours to remove.
  void Finished(uint32_t index, uint64_t size_bytes);

  Backend& backend() { return backend_; }
  bool encrypted() const { return encrypted_; }
  // By number. One that is not finished has no size yet.
  std::vector<PackRow> rows() const;
  // Whether it is one of those that are written.
  bool IsNew(uint32_t index) const { return index >= before_; }
  // Of those that were finished.
  uint64_t stored_bytes() const;
  // Deletes these, but for the `named` ones.
  void Remove(std::span<const PackRow> named = {});

 private:
  Backend& backend_;
  const uint32_t checkpoint_;
  const uint32_t pod_;
  const bool encrypted_;
  const uint32_t before_;
  mutable std::mutex mutex_;
  std::vector<PackRow> rows_;
};

// One lane. Used by one thread at a time.
class PackWriter {
 public:
  // The back end gets this much at a time.
  PackWriter(Packs& packs, size_t buffer_bytes) : packs_(packs), buffer_bytes_(buffer_bytes) {}

  struct Location {
    uint32_t pack = 0;  // index in Packs
    uint64_t offset = 0;
    uint32_t size_bytes = 0;  // as stored: encryption adds to it
  };
  Result<Location> Append(std::span<const std::byte> data);
  // What was appended is durable.
  Status Finish();

 private:
  Status Flush();

  Packs& packs_;
  const size_t buffer_bytes_;
  Packs::New pack_;
  std::vector<std::byte> buffer_;
  std::vector<std::byte> sealed_;
  uint64_t written_bytes_ = 0;  // of this pack, to the back end
};

}  // namespace holdfast::storage
