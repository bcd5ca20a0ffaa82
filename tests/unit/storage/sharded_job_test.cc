// Checkpoints whose tables do not fit into one shard, and those of releases that knew no shards.
#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <new>
#include <set>
#include <thread>

#include "base/files.h"
#include "storage/commit.h"
#include "storage/digest.h"
#include "storage/layout.h"
#include "storage/part.h"
#include "tests/unit/storage/test_job.h"

// How much of this program's C++ objects there is, and has been at most.
namespace {
std::atomic<size_t> allocated = 0, most_allocated = 0;

[[maybe_unused]] void* Count(void* memory) {
  if (!memory) throw std::bad_alloc();
  const size_t now = allocated += ::malloc_usable_size(memory);
  size_t most = most_allocated;
  while (now > most && !most_allocated.compare_exchange_weak(most, now)) {
  }
  return memory;
}
}  // namespace

#ifndef __SANITIZE_ADDRESS__  // which has its own, with other sizes
void* operator new(size_t size) { return Count(std::malloc(size)); }
void operator delete(void* memory) noexcept {
  allocated -= ::malloc_usable_size(memory);
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept { operator delete(memory); }
#endif

namespace holdfast::storage {
namespace {

// A job with much to say about little: each piece, of a few bytes, is an extent and a blob.
struct SparseJob {
  uint32_t pieces = 0;
  std::set<uint32_t> changed;  // those that differ from the job's without this

  static constexpr size_t kPieceBytes = 24;
  static uint64_t OffsetOf(uint32_t piece) { return piece * uint64_t{kBlockBytes}; }
  Bytes Piece(uint32_t piece) const {
    Bytes bytes(kPieceBytes, std::byte{1});
    const uint64_t value = piece | uint64_t{changed.contains(piece)} << 32;
    std::memcpy(bytes.data(), &value, sizeof value);
    return bytes;
  }
  Status Put(PodWriter& writer, uint32_t stream) const {
    for (uint32_t piece = 0; piece < pieces; ++piece)
      HOLDFAST_CHECK(
          writer.Put(stream, OffsetOf(piece), Piece(piece), kAddress + OffsetOf(piece), 1001));
    return {};
  }
  Result<PartSummary> Write(JobStore& store, uint32_t checkpoint, bool ahead = false,
                            const WriteOptions& options = {.threads = 1}) const {
    HOLDFAST_TRY(const auto writer, store.Write(checkpoint, 0, options));
    if (ahead) {
      HOLDFAST_TRY(const uint32_t stream, writer->AddStream("ahead"));
      HOLDFAST_CHECK(SparseJob{.pieces = pieces}.Put(*writer, stream));
      HOLDFAST_CHECK(writer->BeginAgain());
    }
    HOLDFAST_TRY(const uint32_t stream, writer->AddStream(kPages));
    HOLDFAST_CHECK(Put(*writer, stream));
    return writer->Finish();
  }
  Result<PartSummary> Save(JobStore& store, uint32_t checkpoint, bool ahead = false) const {
    HOLDFAST_CHECK(store.Prepare());
    HOLDFAST_TRY(PartSummary part, Write(store, checkpoint, ahead));
    HOLDFAST_CHECK(store.Commit(ManifestOf(checkpoint, {part})));
    return part;
  }
  // kInternal names the first piece that is not as it was.
  Status Check(JobStore& store, uint32_t checkpoint, uint32_t step = 1) const {
    HOLDFAST_TRY(const Manifest manifest, store.ReadManifest(checkpoint));
    HOLDFAST_TRY(const auto reader, store.Read(manifest, 0));
    Bytes read(kPieceBytes + 100);
    for (uint32_t piece = 0; piece + 1 < pieces; piece += step) {
      Bytes expected = Piece(piece);
      expected.resize(read.size());
      HOLDFAST_CHECK(reader->Read(0, OffsetOf(piece), read));
      if (read != expected) return Fail(Code::kInternal, "piece " + std::to_string(piece));
    }
    return {};
  }
};

// With 105 bytes of tables for each piece.
constexpr uint32_t kPiecesOfShard = kShardBytes / 105 + 1;

class ShardedJobTest : public JobTest {
 protected:
  Part PartOf(uint32_t checkpoint) {
    const auto part =
        LoadPart({*backend_, keys_, kJob, kUid}, store_->ReadManifest(checkpoint)->parts.at(0));
    EXPECT_TRUE(part);
    return *part;
  }
  JobName name_ = kJob;
  void Encrypt() {
    keys_ = storage::Keys(kSiteKey, {{SiteKey{{std::byte{11}}}}, "/etc/holdfast/encryption.key"});
    store_ = MakeJobStore(backend_, name_, kUid, keys_);
  }

  storage::Keys keys_{kSiteKey};
  const SparseJob job_{.pieces = 3 * kPiecesOfShard + 100};
};

TEST_F(ShardedJobTest, WhatWasSavedIsRead) {
  ASSERT_OK(job_.Save(*store_, 1));
  const Part part = PartOf(1);
  EXPECT_GE(part.shards.size(), 3u);
  EXPECT_LT(part.rest.size_bytes(), kShardBytes);
  EXPECT_EQ(part.packs.size(), 2u) << "one for the data and one for the shards";
  EXPECT_LT(backend_->Get(PartKey(1, 0)).size(), kShardBytes);
  ASSERT_OK(job_.Check(*store_, 1));
  const auto verified = store_->Verify(*store_->ReadManifest(1), 2);
  ASSERT_OK(verified);
  EXPECT_EQ(verified->read_bytes, uint64_t{job_.pieces} * SparseJob::kPieceBytes);
}

TEST_F(ShardedJobTest, ItIsCopiedWhole) {
  ASSERT_OK(job_.Save(*store_, 1));
  char name[] = "/tmp/holdfast-copy-XXXXXX";
  const UniqueFd file(::mkostemp(name, O_CLOEXEC));
  ASSERT_TRUE(file.valid());
  ::unlink(name);
  const auto reader = store_->Read(*store_->ReadManifest(1), 0);
  ASSERT_OK(reader);
  ASSERT_OK((*reader)->CopyTo(0, file, 2));
  for (uint32_t piece = 0; piece < job_.pieces; piece += 97) {
    Bytes read(SparseJob::kPieceBytes);
    ASSERT_OK(ReadFullAt(file, read, SparseJob::OffsetOf(piece)));
    ASSERT_EQ(read, job_.Piece(piece)) << piece;
  }
}

TEST_F(ShardedJobTest, OnlyWhatChangedIsStoredAgain) {
  ASSERT_OK(job_.Save(*store_, 1));
  SparseJob changed = job_;
  for (uint32_t piece = 5; piece < changed.pieces; piece += 1000) changed.changed.insert(piece);
  ASSERT_OK(changed.Save(*store_, 2));
  EXPECT_LE(backend_->Get(PackKey(2, 0, 0)).size() + backend_->Get(PackKey(2, 0, 1)).size(),
            changed.changed.size() * SparseJob::kPieceBytes + 4 * kMaxShardBytes);
  ASSERT_OK(store_->Prune(1));
  ASSERT_OK(changed.Check(*store_, 2));
  // The shards of the first went with it, its data is needed.
  EXPECT_EQ(Keys("packs/000001").size(), 1u);
}

// The few that are known by their content are not what it depends on.
TEST_F(ShardedJobTest, WithALittleMemoryItIsFoundByItsPlace) {
  ASSERT_OK(store_->Prepare());
  const WriteOptions little{.threads = 1, .memory_budget_bytes = 16 << 20};
  for (const uint32_t checkpoint : {1, 2}) {
    const auto part = job_.Write(*store_, checkpoint, false, little);
    ASSERT_OK(part);
    ASSERT_OK(store_->Commit(ManifestOf(checkpoint, {*part})));
  }
  EXPECT_EQ(Keys("packs/000002").size(), 1u) << "shards, and no data";
  ASSERT_OK(job_.Check(*store_, 2, 7));
}

TEST_F(ShardedJobTest, Encrypted) {
  Encrypt();
  ASSERT_OK(job_.Save(*store_, 1));
  EXPECT_GE(PartOf(1).shards.size(), 3u);
  const auto second = job_.Save(*store_, 2);
  ASSERT_OK(second);
  EXPECT_EQ(Keys("packs/000002").size(), 1u);
  ASSERT_OK(job_.Check(*store_, 2, 7));
  const BlockDigest digest = BlockDigestOf(job_.Piece(0));
  for (const std::string& key : Keys()) {
    const Bytes object = backend_->Get(key);
    EXPECT_TRUE(std::ranges::search(object, digest).empty()) << key;
  }
  EXPECT_CODE(OpenStore()->Read(*store_->ReadManifest(2), 0), Code::kDenied);
}

TEST_F(ShardedJobTest, WhatWasStoredAheadIsFoundAgain) {
  SparseJob changed = job_;
  for (uint32_t piece = 5; piece < changed.pieces; piece += 1000) changed.changed.insert(piece);
  ASSERT_OK(changed.Save(*store_, 1, /*ahead=*/true));
  ASSERT_OK(changed.Check(*store_, 1, 5));
  const Part part = PartOf(1);
  uint64_t named = 0;
  for (const PackRow& pack : part.packs) named += pack.size_bytes;
  EXPECT_EQ(Keys("packs/").size(), part.packs.size()) << "the shards of before are gone";
  EXPECT_LT(named,
            (job_.pieces + changed.changed.size()) * SparseJob::kPieceBytes + 4 * kMaxShardBytes);
}

TEST_F(ShardedJobTest, SeveralThreadsMayPutIt) {
  ASSERT_OK(store_->Prepare());
  const auto writer = store_->Write(1, 0, {.threads = 3});
  ASSERT_OK(writer);
  const auto stream = (*writer)->AddStream(kPages);
  ASSERT_OK(stream);
  std::atomic<uint32_t> next = 0;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 3; ++i)
    threads.emplace_back([&] {
      for (uint32_t piece = next++; piece < job_.pieces; piece = next++)
        EXPECT_TRUE((*writer)->Put(*stream, SparseJob::OffsetOf(piece), job_.Piece(piece)));
    });
  threads.clear();
  const auto part = (*writer)->Finish();
  ASSERT_OK(part);
  ASSERT_OK(store_->Commit(ManifestOf(1, {*part})));
  ASSERT_OK(job_.Check(*store_, 1));
}

TEST_F(ShardedJobTest, ADamagedShardIsFoundAndNamed) {
  ASSERT_OK(job_.Save(*store_, 1));
  const ShardRow shard = PartOf(1).shards[1];
  const std::string pack = PartOf(1).packs[shard.pack].name;
  Bytes contents = backend_->Get(pack);
  contents[shard.offset + shard.stored_bytes / 2] ^= std::byte{1};
  backend_->Set(pack, contents);
  const Status read = job_.Check(*store_, 1, 100);
  EXPECT_CODE(read, Code::kCorrupt);
  EXPECT_TRUE(read.error().message().contains(pack)) << read.error().message();
  EXPECT_CODE(store_->Verify(*store_->ReadManifest(1), 2), Code::kCorrupt);
  // What only that shard knew of is stored again.
  ASSERT_OK(job_.Save(*store_, 2));
  ASSERT_OK(job_.Check(*store_, 2, 100));
}

// Whatever operation fails, the checkpoint does, and nothing stays behind.
TEST_F(ShardedJobTest, AShardThatCannotBeStoredIsNotLeftOut) {
  size_t failures = 0;
  for (size_t operation = 0;; ++operation) {
    backend_ = std::make_shared<MemoryBackend>();
    store_ = OpenStore();
    backend_->FailAt(operation, Error(Code::kUnavailable, "as asked"));
    const auto part = job_.Write(*store_, 1, /*ahead=*/true);
    // Only the last operation, which removes the shards of before, may fail unseen.
    if (part && backend_->operations() <= operation + 1) break;
    ++failures;
    EXPECT_CODE(part, Code::kUnavailable);
    EXPECT_EQ(Keys(), std::vector<std::string>{}) << operation;
  }
  EXPECT_GT(failures, 10u);
}

// ---- what earlier releases wrote ----

class Version1Test : public ShardedJobTest {
 protected:
  // The objects of a checkpoint 2 of one pod, as the release before shards wrote them.
  void Load(const std::string& name) {
    name_ = {.id = kJobId};  // its jobs had no other name
    store_ = MakeJobStore(backend_, name_, kUid, keys_);
    const std::filesystem::path root = std::string(HOLDFAST_VERSION1) + "/" + name;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
      if (!entry.is_regular_file()) continue;
      const auto contents = ReadFile(entry.path());
      ASSERT_OK(contents);
      ASSERT_OK(backend_->PutIfAbsent(entry.path().lexically_relative(root),
                                      std::as_bytes(std::span(*contents))));
    }
  }
  // Its memory: noise, zeros, and a pattern; a byte had changed since checkpoint 1.
  static Bytes Memory() {
    Bytes memory = RandomBytes(kExtentBytes / 4, 1);
    memory.resize(2 * kExtentBytes);
    for (size_t i = kExtentBytes; i < 2 * kExtentBytes; ++i)
      memory[i] = static_cast<std::byte>(i / 1000);
    memory[100] ^= std::byte{1};
    return memory;
  }
  void ExpectReadAndComparedWith() {
    Bytes memory = Memory();
    EXPECT_EQ(*LoadCheckpoint(*store_, 2), memory);
    ASSERT_OK(store_->Verify(*store_->ReadManifest(2), 2));
    memory[kBlockBytes + 5] ^= std::byte{1};
    const auto next = WritePod(*store_, 3, 0, memory);
    ASSERT_OK(next);
    Manifest manifest = ManifestOf(3, {*next});
    manifest.job = name_;
    ASSERT_OK(store_->Commit(manifest));
    EXPECT_EQ(backend_->Get(PackKey(3, 0, 0)).size() / kBlockBytes, 1u) << "one block has changed";
    EXPECT_EQ(*LoadCheckpoint(*store_, 3), memory);
    ASSERT_OK(store_->Prune(1));
    EXPECT_EQ(*LoadCheckpoint(*store_, 3), memory);
  }
};

TEST_F(Version1Test, IsReadAndComparedWith) {
  Load("plain");
  ExpectReadAndComparedWith();
}

TEST_F(Version1Test, EncryptedTheSame) {
  Encrypt();
  Load("sealed");
  ExpectReadAndComparedWith();
}

// All tables in the part, however many.
class LargeVersion1Test : public ShardedJobTest {
 protected:
  void Save() {
    Part part{.job = kJob, .checkpoint = 1};
    part.streams = {{kPages, job_.pieces * uint64_t{kBlockBytes}}};
    Bytes pack;
    for (uint32_t i = 0; i < job_.pieces; ++i) {
      const Bytes piece = job_.Piece(i);
      part.rest.extents.push_back({.pid = 1001,
                                   .offset = SparseJob::OffsetOf(i),
                                   .address = kAddress + SparseJob::OffsetOf(i),
                                   .length_bytes = SparseJob::kPieceBytes,
                                   .blob = i});
      part.rest.blobs.push_back({.offset = pack.size(),
                                 .stored_bytes = SparseJob::kPieceBytes,
                                 .raw_bytes = SparseJob::kPieceBytes});
      part.rest.blocks.push_back(BlockDigestOf(piece));
      pack.insert(pack.end(), piece.begin(), piece.end());
    }
    part.packs = {{PackKey(1, 0, 0), pack.size()}};
    const auto file = EncodePart(part);
    ASSERT_OK(file);
    ASSERT_OK(store_->Prepare());
    ASSERT_OK(backend_->PutIfAbsent(PackKey(1, 0, 0), pack));
    ASSERT_OK(backend_->PutIfAbsent(PartKey(1, 0), *file));
    ASSERT_OK(store_->Commit(
        ManifestOf(1, {{.pod = 0, .name = PartKey(1, 0), .digest = HashOf(*file)}})));
  }
};

TEST_F(LargeVersion1Test, IsReadAndComparedWith) {
  Save();
  ASSERT_OK(job_.Check(*store_, 1, 3));
  ASSERT_OK(job_.Save(*store_, 2));
  EXPECT_EQ(Keys("packs/000002").size(), 1u) << "shards, and no data";
  ASSERT_OK(job_.Check(*store_, 2, 3));
}

TEST_F(LargeVersion1Test, BeyondTheBudgetItIsStoredAgain) {
  Save();
  const auto part = job_.Write(*store_, 2, false, {.threads = 1, .memory_budget_bytes = 8 << 20});
  ASSERT_OK(part);
  ASSERT_OK(store_->Commit(ManifestOf(2, {*part})));
  EXPECT_EQ(Keys("packs/000002").size(), 2u);
  ASSERT_OK(job_.Check(*store_, 2, 3));
}

// ---- memory ----

class MemoryBoundTest : public testing::Test {
 protected:
  static constexpr uint64_t kBudgetBytes = 16 << 20;

  void SetUp() override {
    char name[] = "/tmp/holdfast-store-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
    const auto store = Open();
    ASSERT_OK(store->Prepare());
#ifdef __SANITIZE_ADDRESS__
    GTEST_SKIP() << "allocations are not counted under the address sanitizer";
#endif
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(directory_)); }
  std::unique_ptr<JobStore> Open() {
    auto store = JobStore::Open("file://" + directory_, kJob, CurrentIdentity(), kSiteKey);
    EXPECT_TRUE(store);
    return std::move(*store);
  }
  // At most, beyond what there was before.
  static size_t MostAllocated(const std::function<void()>& work) {
    const size_t before = allocated;
    most_allocated = before;
    work();
    return most_allocated - before;
  }
  // The more of a first checkpoint, of a second with as much stored ahead, and of reading it.
  struct Peaks {
    size_t save = 0;
    size_t read = 0;
  };
  Peaks Measure(uint32_t pieces) {
    const SparseJob job{.pieces = pieces};
    const WriteOptions options{
        .threads = 1, .memory_budget_bytes = kBudgetBytes, .compression_level = 0};
    Peaks peaks;
    const auto store = Open();
    peaks.save = MostAllocated([&] {
      for (int i = 0; i < 2; ++i) {
        const auto part = job.Write(*store, ++checkpoint_, /*ahead=*/i == 1, options);
        ASSERT_OK(part);
        Manifest manifest = ManifestOf(checkpoint_, {*part});
        manifest.uid = CurrentIdentity().uid;
        ASSERT_OK(store->Commit(manifest));
      }
    });
    peaks.read = MostAllocated([&] { ASSERT_OK(job.Check(*store, checkpoint_, 3)); });
    return peaks;
  }

  std::string directory_;
  uint32_t checkpoint_ = 0;
};

TEST_F(MemoryBoundTest, IsTheSameForAJobFourTimesAsLarge) {
  const Peaks one = Measure(5 * kPiecesOfShard + 100);
  const Peaks four = Measure(20 * kPiecesOfShard + 100);
  EXPECT_LT(four.save, kBudgetBytes);
  EXPECT_LT(four.save, one.save + 2 * kShardBytes) << "its tables have fifteen shards more";
  EXPECT_LT(four.read, kBudgetBytes + kBudgetBytes / 2) << "the shards that a reader keeps";
}

}  // namespace
}  // namespace holdfast::storage
