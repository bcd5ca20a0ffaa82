// A checkpoint of one pod that lies in memory: what dump writes, restore reads back, and a test may
// tamper with in between.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/files.h"
#include "storage/checkpoint.h"

namespace holdfast::warden {

struct FakeCheckpoint {
  struct Data {
    std::string name;
    std::vector<std::byte> bytes;
    std::map<uint64_t, size_t> pieces;  // offset, size
  };
  std::vector<Data> streams;
  std::map<std::string, std::string> images;
  std::vector<storage::FileRecord> files;
  storage::PodInfo info;
};

class FakeWriter final : public storage::PodWriter {
 public:
  // `previous`: what the checkpoint before holds.
  explicit FakeWriter(FakeCheckpoint& checkpoint, const FakeCheckpoint* previous = nullptr)
      : checkpoint_(checkpoint), previous_(previous) {}

  Result<uint32_t> AddStream(std::string name) override {
    // While others put into those that are there.
    const std::lock_guard lock(mutex_);
    checkpoint_.streams.push_back({.name = std::move(name)});
    return static_cast<uint32_t>(checkpoint_.streams.size() - 1);
  }
  Status Put(uint32_t stream, uint64_t offset, std::span<const std::byte> data, uint64_t,
             uint32_t) override {
    const std::lock_guard lock(mutex_);
    if (fail_puts_) return Fail(Code::kNoSpace, "the fake store is full");
    auto& [name, bytes, pieces] = checkpoint_.streams.at(stream);
    if (data.size() > storage::kExtentBytes) return Fail(Code::kInternal, "extent too long");
    for (const auto& [at, size] : pieces)
      if (at < offset + data.size() && offset < at + size)
        return Fail(Code::kInternal, "extents overlap in " + name);
    pieces[offset] = data.size();
    bytes.resize(std::max(bytes.size(), offset + data.size()));
    std::ranges::copy(data, bytes.begin() + static_cast<ssize_t>(offset));
    return {};
  }
  uint32_t compared_checkpoint() const override { return 0; }
  Status PutRest(uint32_t stream, uint64_t offset, std::span<std::byte> data, const Kept& kept,
                 uint64_t address, uint32_t pid) override {
    HOLDFAST_CHECK(kept.read(0, data.size()));
    return Put(stream, offset, data, address, pid);
  }
  Status SetSize(uint32_t stream, uint64_t size_bytes) override {
    const std::lock_guard lock(mutex_);
    checkpoint_.streams.at(stream).bytes.resize(size_bytes);
    return {};
  }
  std::optional<std::string> PreviousImage(const std::string& name) const override {
    if (!previous_ || !previous_->images.contains(name)) return std::nullopt;
    return previous_->images.at(name);
  }
  Result<bool> KeepStream(const std::string& name) override {
    if (!previous_) return false;
    const auto found = std::ranges::find(previous_->streams, name, &FakeCheckpoint::Data::name);
    if (found == previous_->streams.end()) return false;
    checkpoint_.streams.push_back(*found);
    ++kept_;
    return true;
  }
  Status Flush() override { return {}; }
  Status BeginAgain() override {
    checkpoint_.streams.clear();
    return {};
  }
  Precopied precopied() const override { return {}; }
  Status AddImage(std::string name, std::string_view contents) override {
    const std::lock_guard lock(mutex_);
    checkpoint_.images[std::move(name)] = contents;
    return {};
  }
  void AddFile(storage::FileRecord file) override { checkpoint_.files.push_back(std::move(file)); }
  void SetInfo(storage::PodInfo info) override { checkpoint_.info = std::move(info); }
  Result<storage::PartSummary> Finish() override { return storage::PartSummary{}; }

  void FailPuts() { fail_puts_ = true; }
  int kept() const { return kept_; }

 private:
  FakeCheckpoint& checkpoint_;
  const FakeCheckpoint* previous_;
  int kept_ = 0;
  std::mutex mutex_;
  bool fail_puts_ = false;
};

class FakeReader final : public storage::PodReader {
 public:
  // Called before each Read, with the stream's name and the offset; may be slow, or fail.
  using Hook = std::function<Status(const std::string&, uint64_t)>;
  void OnRead(Hook hook) { on_read_ = std::move(hook); }

  explicit FakeReader(const FakeCheckpoint& checkpoint) : checkpoint_(checkpoint) {
    for (const auto& stream : checkpoint.streams)
      streams_.push_back({.name = stream.name, .size_bytes = stream.bytes.size()});
  }

  const storage::PodInfo& info() const override { return checkpoint_.info; }
  const std::vector<storage::FileRecord>& files() const override { return checkpoint_.files; }
  std::vector<std::string> images() const override {
    std::vector<std::string> names;
    for (const auto& [name, contents] : checkpoint_.images) names.push_back(name);
    return names;
  }
  Result<std::string> ReadImage(const std::string& name) override {
    const auto at = checkpoint_.images.find(name);
    if (at == checkpoint_.images.end()) return Fail(Code::kNotFound, "no image " + name);
    return at->second;
  }
  const std::vector<Stream>& streams() const override { return streams_; }
  Status Read(uint32_t stream, uint64_t offset, std::span<std::byte> out) override {
    if (on_read_)
      if (Status status = on_read_(streams_.at(stream).name, offset); !status) return status;
    const auto& bytes = checkpoint_.streams.at(stream).bytes;
    if (offset + out.size() > bytes.size()) return Fail(Code::kInvalid, "reading past the end");
    std::memcpy(out.data(), bytes.data() + offset, out.size());
    return {};
  }
  Status CopyTo(uint32_t stream, const UniqueFd& file, unsigned) override {
    return WriteFullAt(file, checkpoint_.streams.at(stream).bytes, 0);
  }

 private:
  const FakeCheckpoint& checkpoint_;
  std::vector<Stream> streams_;
  Hook on_read_;
};

}  // namespace holdfast::warden
