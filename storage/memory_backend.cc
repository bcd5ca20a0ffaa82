#include "storage/memory_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "storage/layout.h"

namespace holdfast::storage {
namespace {

Error Dead() { return Error(Code::kUnavailable, "memory back end: crashed, as the test asked"); }

class Reader : public ObjectReader {
 public:
  Reader(std::shared_ptr<const std::vector<std::byte>> contents, std::string key)
      : contents_(std::move(contents)), key_(std::move(key)) {}
  uint64_t size_bytes() const override { return contents_->size(); }
  Status ReadAt(uint64_t offset, std::span<std::byte> out) const override {
    if (offset > contents_->size() || out.size() > contents_->size() - offset)
      return Fail(Code::kCorrupt,
                  fmt::format("reading {} at {}: unexpected end of file", key_, offset));
    std::copy_n(contents_->begin() + static_cast<ptrdiff_t>(offset), out.size(), out.begin());
    return {};
  }

 private:
  const std::shared_ptr<const std::vector<std::byte>> contents_;
  const std::string key_;
};

}  // namespace

// An unfinished object lies under a marked key, as in a directory.
class MemoryBackend::Writer : public ObjectWriter {
 public:
  Writer(MemoryBackend& backend, std::string unfinished, std::string key)
      : backend_(backend), unfinished_(std::move(unfinished)), key_(std::move(key)) {}

  ~Writer() override {
    const std::lock_guard lock(backend_.mutex_);
    // Dead processes remove nothing.
    if (!backend_.dead_) backend_.objects_.erase(unfinished_);
  }

  Status Append(std::span<const std::byte> data) override {
    const uint64_t used = backend_.used_bytes();
    return backend_.Operate([&](bool torn) -> Status {
      if (data.size() > backend_.capacity_ - std::min(backend_.capacity_, used))
        return Fail(Code::kNoSpace, "writing " + key_ + ": no space");
      const auto contents = backend_.objects_.find(unfinished_);
      if (contents == backend_.objects_.end())
        return Fail(Code::kNotFound, "writing " + key_ + ": somebody removed it");
      const auto written = torn ? data.first(data.size() / 2) : data;
      contents->second->insert(contents->second->end(), written.begin(), written.end());
      return {};
    });
  }

  Status Finish() override {
    return backend_.Operate([&](bool) -> Status {
      const auto contents = backend_.objects_.find(unfinished_);
      if (contents == backend_.objects_.end())
        return Fail(Code::kNotFound, "naming " + key_ + ": somebody removed it");
      if (!backend_.objects_.try_emplace(key_, contents->second).second)
        return Fail(Code::kConflict, "naming " + key_ + ": exists");
      backend_.objects_.erase(unfinished_);
      return {};
    });
  }

 private:
  MemoryBackend& backend_;
  const std::string unfinished_;
  const std::string key_;
};

void MemoryBackend::FailAt(size_t operation, Error error) {
  const std::lock_guard lock(mutex_);
  failure_.emplace(operation, std::move(error));
}

void MemoryBackend::CrashAt(size_t operation, Crash crash) {
  const std::lock_guard lock(mutex_);
  crash_.emplace(operation, crash);
}

void MemoryBackend::Restart() {
  const std::lock_guard lock(mutex_);
  failure_.reset();
  crash_.reset();
  dead_ = false;
}

void MemoryBackend::SetCapacity(uint64_t size_bytes) {
  const std::lock_guard lock(mutex_);
  capacity_ = size_bytes;
}

size_t MemoryBackend::operations() const {
  const std::lock_guard lock(mutex_);
  return operations_;
}

uint64_t MemoryBackend::used_bytes() const {
  const std::lock_guard lock(mutex_);
  uint64_t used = 0;
  for (const auto& [key, contents] : objects_) used += contents->size();
  return used;
}

std::vector<std::byte> MemoryBackend::Get(const std::string& key) const {
  const std::lock_guard lock(mutex_);
  return *objects_.at(key);
}

void MemoryBackend::Set(const std::string& key, std::vector<std::byte> contents) {
  const std::lock_guard lock(mutex_);
  objects_.at(key) = std::make_shared<std::vector<std::byte>>(std::move(contents));
}

template <typename Effect>
Status MemoryBackend::Operate(Effect effect) {
  const std::lock_guard lock(mutex_);
  const size_t operation = operations_++;
  if (dead_) return std::unexpected(Dead());
  if (failure_ && failure_->first == operation) return std::unexpected(failure_->second);
  if (crash_ && crash_->first == operation) {
    dead_ = true;
    if (crash_->second == Crash::kAfter) std::ignore = effect(true);
    return std::unexpected(Dead());
  }
  return effect(false);
}

std::string MemoryBackend::Describe(std::string_view key) const {
  return "memory:" + std::string(key);
}

Status MemoryBackend::Prepare() {
  return Operate([](bool) { return Status(); });
}

Result<std::unique_ptr<ObjectWriter>> MemoryBackend::Create(const std::string& key) {
  std::string unfinished;
  HOLDFAST_CHECK(Operate([&](bool) -> Status {
    unfinished = fmt::format("{}{}{:016x}", key, kUnfinishedMark, next_unfinished_++);
    objects_[unfinished] = std::make_shared<std::vector<std::byte>>();
    return {};
  }));
  return std::make_unique<Writer>(*this, unfinished, key);
}

Result<std::unique_ptr<ObjectReader>> MemoryBackend::Open(const std::string& key) {
  const std::lock_guard lock(mutex_);
  if (dead_) return std::unexpected(Dead());
  const auto object = objects_.find(key);
  if (object == objects_.end())
    return Fail(Code::kNotFound, "reading " + Describe(key) + ": does not exist");
  return std::make_unique<Reader>(object->second, key);
}

Status MemoryBackend::PutIfAbsent(const std::string& key, std::span<const std::byte> contents) {
  HOLDFAST_TRY(const auto writer, Create(key));
  HOLDFAST_CHECK(writer->Append(contents));
  return writer->Finish();
}

Result<std::vector<ObjectInfo>> MemoryBackend::List(const std::string& prefix) {
  const std::lock_guard lock(mutex_);
  if (dead_) return std::unexpected(Dead());
  std::vector<ObjectInfo> objects;
  for (const auto& [key, contents] : objects_)
    if (key.starts_with(prefix)) objects.push_back({key, contents->size()});
  return objects;
}

Status MemoryBackend::Delete(const std::string& key) {
  return Operate([&](bool) -> Status {
    objects_.erase(key);
    return {};
  });
}

Status MemoryBackend::RemoveIfEmpty() {
  return Operate([](bool) { return Status(); });
}

}  // namespace holdfast::storage
