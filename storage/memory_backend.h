// A back end in memory, for tests: it can fail, crash and run full where it is told to.
// Thread-safe, as every back end.
#pragma once

#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "storage/backend.h"

namespace holdfast::storage {

class MemoryBackend : public Backend {
 public:
  // A crash can come before an operation has had its effect or after; an Append is torn in half.
  enum class Crash { kBefore, kAfter };

  // Operations that change something are counted from 0. The one of that number fails, once.
  void FailAt(size_t operation, Error error);
  // From that operation on everything fails, as if the process were dead, until Restart.
  void CrashAt(size_t operation, Crash crash);
  // What was finished is still there; what was not is debris.
  void Restart();
  // Appends beyond this many bytes in all fail with kNoSpace.
  void SetCapacity(uint64_t size_bytes);
  size_t operations() const;
  uint64_t used_bytes() const;

  // For tampering; the object must exist.
  std::vector<std::byte> Get(const std::string& key) const;
  void Set(const std::string& key, std::vector<std::byte> contents);

  const Capabilities& capabilities() const override { return capabilities_; }
  std::string Describe(std::string_view key) const override;
  Status Prepare() override;
  Result<std::unique_ptr<ObjectWriter>> Create(const std::string& key) override;
  Result<std::unique_ptr<ObjectReader>> Open(const std::string& key) override;
  Status PutIfAbsent(const std::string& key, std::span<const std::byte> contents) override;
  Result<std::vector<ObjectInfo>> List(const std::string& prefix) override;
  // It is the only one.
  Result<std::vector<std::string>> Beside(const std::string&) override { return {}; }
  Status Delete(const std::string& key) override;
  Status RemoveIfEmpty() override;

 private:
  class Writer;
  using Contents = std::shared_ptr<std::vector<std::byte>>;

  // Counts an operation and meets its fate: carries out effect(torn) under the lock, or not.
  template <typename Effect>
  Status Operate(Effect effect);

  const Capabilities capabilities_{.write_bytes = 64 << 10};
  mutable std::mutex mutex_;
  std::map<std::string, Contents> objects_;
  uint64_t capacity_ = std::numeric_limits<uint64_t>::max();
  size_t operations_ = 0;
  size_t next_unfinished_ = 0;
  std::optional<std::pair<size_t, Error>> failure_;
  std::optional<std::pair<size_t, Crash>> crash_;
  bool dead_ = false;
};

}  // namespace holdfast::storage
