// What the tests of storage share: a job over a back end in memory, and checkpoints of made-up
// data.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "storage/checkpoint.h"
#include "storage/job_store.h"
#include "storage/memory_backend.h"

namespace holdfast::storage {

using Bytes = std::vector<std::byte>;

inline constexpr uint32_t kJobId = 4242;
inline const JobName kJob{.cluster = "lab", .id = kJobId, .submitted = "20261128T004824Z"};
inline constexpr uid_t kUid = 1000;
inline const SiteKey kSiteKey{{std::byte{1}, std::byte{2}, std::byte{3}}};
// Where "memory" begins.
inline constexpr uint64_t kAddress = 0x7f0000000000;
inline constexpr const char* kPages = "pages-1.img";

// Incompressible, and the same for the same seed.
inline Bytes RandomBytes(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  Bytes bytes(size);
  for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
    const uint64_t value = random();
    std::memcpy(bytes.data() + i, &value, std::min(sizeof value, size - i));
  }
  return bytes;
}

// Puts `memory` as one process's, in pieces of kExtentBytes.
inline Status PutMemory(PodWriter& writer, uint32_t stream, std::span<const std::byte> memory,
                        uint32_t pid = 1001) {
  for (size_t offset = 0; offset < memory.size(); offset += kExtentBytes)
    HOLDFAST_CHECK(writer.Put(
        stream, offset, memory.subspan(offset, std::min(kExtentBytes, memory.size() - offset)),
        kAddress + offset, pid));
  return {};
}

// One pod's share with `memory` in it, finished.
inline Result<PartSummary> WritePod(JobStore& store, uint32_t checkpoint, uint32_t pod,
                                    std::span<const std::byte> memory,
                                    const WriteOptions& options = {}) {
  HOLDFAST_TRY(const auto writer, store.Write(checkpoint, pod, options));
  HOLDFAST_TRY(const uint32_t stream, writer->AddStream(kPages));
  HOLDFAST_CHECK(PutMemory(*writer, stream, memory));
  HOLDFAST_CHECK(writer->AddImage("inventory.img", "checkpoint " + std::to_string(checkpoint)));
  writer->SetInfo({.node = "n1", .hostname = "h1", .owner = {.uid = kUid}, .processes = 1});
  return writer->Finish();
}

inline Manifest ManifestOf(uint32_t checkpoint, std::vector<PartSummary> parts) {
  Manifest manifest{.job = kJob,
                    .checkpoint = checkpoint,
                    .unix_ms = 1'800'000'000'000,
                    .uid = kUid,
                    .gid = 100,
                    .hostnames = std::vector<std::string>(parts.size(), "h"),
                    .parts = std::move(parts),
                    .attributes = {}};
  return manifest;
}

// A whole checkpoint of one pod, committed.
inline Result<PartSummary> SaveCheckpoint(JobStore& store, uint32_t checkpoint,
                                          std::span<const std::byte> memory,
                                          const WriteOptions& options = {}) {
  HOLDFAST_CHECK(store.Prepare());
  HOLDFAST_TRY(PartSummary part, WritePod(store, checkpoint, 0, memory, options));
  HOLDFAST_CHECK(store.Commit(ManifestOf(checkpoint, {part})));
  return part;
}

// The first stream of a committed checkpoint.
inline Result<Bytes> LoadCheckpoint(JobStore& store, uint32_t checkpoint, uint32_t pod = 0) {
  HOLDFAST_TRY(const Manifest manifest, store.ReadManifest(checkpoint));
  HOLDFAST_TRY(const auto reader, store.Read(manifest, pod));
  Bytes memory(reader->streams().at(0).size_bytes);
  HOLDFAST_CHECK(reader->Read(0, 0, memory));
  return memory;
}

template <typename T>
std::string CodeOf(const Result<T>& result) {
  return result ? "success" : std::string(CodeName(result.error().code()));
}

class JobTest : public testing::Test {
 protected:
  // As another process would open it.
  std::unique_ptr<JobStore> OpenStore() { return MakeJobStore(backend_, kJob, kUid, kSiteKey); }
  std::vector<std::string> Keys(const std::string& prefix = "") {
    std::vector<std::string> keys;
    const auto objects = backend_->List(prefix);
    EXPECT_TRUE(objects);
    if (objects)
      for (const ObjectInfo& object : *objects) keys.push_back(object.key);
    return keys;
  }
  std::vector<uint32_t> Good() {
    std::vector<uint32_t> numbers;
    const auto listing = store_->List();
    EXPECT_TRUE(listing);
    if (listing)
      for (const Manifest& manifest : listing->good) numbers.push_back(manifest.checkpoint);
    return numbers;
  }

  std::shared_ptr<MemoryBackend> backend_ = std::make_shared<MemoryBackend>();
  std::unique_ptr<JobStore> store_ = OpenStore();
};

#define ASSERT_OK(expression)                                          \
  do {                                                                 \
    const auto& assert_ok = (expression);                              \
    ASSERT_TRUE(assert_ok.has_value()) << assert_ok.error().message(); \
  } while (false)

#define EXPECT_CODE(expression, code) EXPECT_EQ(CodeOf(expression), CodeName(code))

}  // namespace holdfast::storage
