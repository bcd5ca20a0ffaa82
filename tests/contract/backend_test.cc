// What every back end must do, whatever it is made of: storage/backend.h, as a test.

#include "storage/backend.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <functional>
#include <thread>

#include "base/files.h"
#include "storage/bounded_backend.h"
#include "storage/gcs/gcs_backend.h"
#include "storage/layout.h"
#include "storage/memory_backend.h"
#include "storage/posix/posix_backend.h"
#include "storage/s3/s3_backend.h"
#include "tests/fakes/gcs_server.h"
#include "tests/fakes/s3_server.h"

namespace holdfast::storage {
namespace {

// A place for one back end; several may be opened on it, as several nodes do.
class Place {
 public:
  virtual ~Place() = default;
  // The job's; nothing for another one where there is but one place.
  virtual std::shared_ptr<Backend> Open(const std::string& job = "4242") = 0;
};

class MemoryPlace : public Place {
 public:
  std::shared_ptr<Backend> Open(const std::string& job) override {
    return job == "4242" ? backend_ : nullptr;
  }

 private:
  std::shared_ptr<Backend> backend_ = std::make_shared<MemoryBackend>();
};

class PosixPlace : public Place {
 public:
  PosixPlace() {
    char name[] = "/tmp/holdfast-contract-XXXXXX";
    if (::mkdtemp(name) != nullptr) directory_ = name;
  }
  ~PosixPlace() override { EXPECT_TRUE(RemoveTree(directory_)); }
  std::shared_ptr<Backend> Open(const std::string& job) override {
    return MakeBoundedBackend(MakePosixBackend(directory_ + "/a/b", job, CurrentIdentity()));
  }

 private:
  std::string directory_;
};

class GcsPlace : public Place {
 public:
  GcsPlace() { ::setenv("STORAGE_EMULATOR_HOST", server_.url().c_str(), 1); }
  ~GcsPlace() override { ::unsetenv("STORAGE_EMULATOR_HOST"); }
  std::shared_ptr<Backend> Open(const std::string& job) override {
    auto backend = gcs::MakeGcsBackend("gs://bucket/a/b", job, {.chunk_bytes = 1 << 20});
    EXPECT_TRUE(backend) << backend.error().message();
    return std::move(*backend);
  }

 private:
  fakes::GcsServer server_{{.page_objects = 2}};
};

class S3Place : public Place {
 public:
  S3Place() {
    ::setenv("AWS_ACCESS_KEY_ID", "AKIDTEST", 1);
    ::setenv("AWS_SECRET_ACCESS_KEY", "secret-of-test", 1);
  }
  ~S3Place() override {
    ::unsetenv("AWS_ACCESS_KEY_ID");
    ::unsetenv("AWS_SECRET_ACCESS_KEY");
  }
  std::shared_ptr<Backend> Open(const std::string& job) override {
    auto backend = s3::MakeS3Backend("s3://bucket/a/b", job, {.endpoint = server_.url()});
    EXPECT_TRUE(backend) << backend.error().message();
    return std::move(*backend);
  }

 private:
  fakes::S3Server server_{{.page_keys = 2}};
};

struct Kind {
  const char* name;
  std::function<std::unique_ptr<Place>()> make;
};

class BackendTest : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    place_ = GetParam().make();
    backend_ = place_->Open();
    ASSERT_TRUE(backend_->Prepare());
  }
  std::vector<std::string> Keys(const std::string& prefix = "") {
    std::vector<std::string> keys;
    const auto objects = backend_->List(prefix);
    EXPECT_TRUE(objects);
    if (objects)
      for (const ObjectInfo& object : *objects) keys.push_back(object.key);
    return keys;
  }
  std::string Text(const std::string& key) {
    const auto contents = ReadObject(*backend_, key, 1 << 20);
    if (!contents) return contents.error().message();
    return {reinterpret_cast<const char*>(contents->data()), contents->size()};
  }

  std::unique_ptr<Place> place_;
  std::shared_ptr<Backend> backend_;
};

using Strings = std::vector<std::string>;

TEST_P(BackendTest, PreparingLeavesNothingAndMayBeRepeated) {
  EXPECT_TRUE(backend_->Prepare());
  EXPECT_EQ(Keys(), Strings{});
}

TEST_P(BackendTest, OtherJobsPlacesAreSeenFromEach) {
  if (place_->Open("lab-4242-b") == nullptr) GTEST_SKIP() << "it is one place alone";
  for (const char* job : {"lab-4242-b", "4242", "lab-42421-c", "lab-4242-a", "42"}) {
    const auto backend = place_->Open(job);
    ASSERT_TRUE(backend->Prepare());
    ASSERT_TRUE(backend->PutIfAbsent("manifest-000001.h5", AsBytes("x")));
    ASSERT_TRUE(backend->PutIfAbsent("packs/a", AsBytes("x")));
    ASSERT_TRUE(backend->PutIfAbsent("packs/b", AsBytes("x")));
  }
  EXPECT_EQ(backend_->Beside("lab-4242-").value(), (Strings{"lab-4242-a", "lab-4242-b"}));
  EXPECT_EQ(backend_->Beside("4242/").value(), Strings{"4242"});
  EXPECT_EQ(backend_->Beside("other-").value(), Strings{});
}

TEST_P(BackendTest, AnObjectIsItsAppendsInOrder) {
  auto writer = backend_->Create("packs/a");
  ASSERT_TRUE(writer) << writer.error().message();
  ASSERT_TRUE((*writer)->Append(AsBytes("one ")));
  ASSERT_TRUE((*writer)->Append(AsBytes("")));
  ASSERT_TRUE((*writer)->Append(AsBytes("two")));
  ASSERT_TRUE((*writer)->Finish());
  EXPECT_EQ(Text("packs/a"), "one two");
  EXPECT_EQ(Keys(), Strings{"packs/a"});
}

TEST_P(BackendTest, AnUnfinishedObjectIsNotReadableAndListedAsSuch) {
  auto writer = backend_->Create("packs/a");
  ASSERT_TRUE(writer);
  ASSERT_TRUE((*writer)->Append(AsBytes("half")));
  const auto opened = backend_->Open("packs/a");
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code(), Code::kNotFound);
  for (const std::string& key : Keys("packs/a"))
    EXPECT_NE(key.find(kUnfinishedMark), std::string::npos) << key;
}

TEST_P(BackendTest, ADroppedWriterLeavesNothing) {
  {
    auto writer = backend_->Create("packs/a");
    ASSERT_TRUE(writer);
    ASSERT_TRUE((*writer)->Append(AsBytes("half")));
  }
  EXPECT_EQ(Keys(), Strings{});
}

TEST_P(BackendTest, WhatADeadWriterLeftCanBeDeleted) {
  if (!backend_->capabilities().lists_unfinished)
    GTEST_SKIP() << "what a dead writer left is not listed here";
  auto writer = backend_->Create("packs/a");
  ASSERT_TRUE(writer);
  ASSERT_TRUE((*writer)->Append(AsBytes("half")));
  for (const std::string& key : Keys()) EXPECT_TRUE(backend_->Delete(key));
  EXPECT_EQ(Keys(), Strings{});
  // And a writer that was not dead after all must not bring it back.
  EXPECT_FALSE((*writer)->Finish());
  EXPECT_EQ(Keys(), Strings{});
}

TEST_P(BackendTest, ATakenKeyIsAConflictAndKeepsItsContents) {
  ASSERT_TRUE(backend_->PutIfAbsent("manifest-1", AsBytes("first")));
  const auto second = backend_->PutIfAbsent("manifest-1", AsBytes("second"));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Code::kConflict);
  EXPECT_EQ(Text("manifest-1"), "first");

  auto writer = backend_->Create("manifest-1");
  if (writer) {
    ASSERT_TRUE((*writer)->Append(AsBytes("third")));
    const auto finished = (*writer)->Finish();
    ASSERT_FALSE(finished);
    EXPECT_EQ(finished.error().code(), Code::kConflict);
    writer->reset();
  }
  EXPECT_EQ(Text("manifest-1"), "first");
  EXPECT_EQ(Keys(), Strings{"manifest-1"});
}

TEST_P(BackendTest, OfManyPuttersOneWins) {
  for (int round = 0; round < 20; ++round) {
    const std::string key = "manifest-" + std::to_string(round);
    std::atomic<int> winners = 0, conflicts = 0, winner = -1;
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([&, i] {
        const auto put = place_->Open()->PutIfAbsent(key, AsBytes(std::to_string(i)));
        if (put) {
          ++winners;
          winner = i;
        } else if (put.error().code() == Code::kConflict) {
          ++conflicts;
        }
      });
    threads.clear();
    EXPECT_EQ(winners, 1);
    EXPECT_EQ(conflicts, 3);
    EXPECT_EQ(Text(key), std::to_string(winner));
  }
}

TEST_P(BackendTest, AnotherBackendOnThePlaceSeesWhatIsFinished) {
  ASSERT_TRUE(backend_->PutIfAbsent("parts/x", AsBytes("text")));
  backend_ = place_->Open();
  EXPECT_EQ(Text("parts/x"), "text");
}

TEST_P(BackendTest, RangesAreReadAndTheEndIsNotPassed) {
  ASSERT_TRUE(backend_->PutIfAbsent("parts/x", AsBytes("0123456789")));
  const auto reader = backend_->Open("parts/x");
  ASSERT_TRUE(reader);
  EXPECT_EQ((*reader)->size_bytes(), 10u);
  std::array<std::byte, 4> out;
  ASSERT_TRUE((*reader)->ReadAt(6, out));
  EXPECT_EQ(out[0], std::byte{'6'});
  EXPECT_EQ(out[3], std::byte{'9'});
  for (const uint64_t offset : {7ULL, 10ULL, 1ULL << 62}) {
    const auto read = (*reader)->ReadAt(offset, out);
    ASSERT_FALSE(read) << offset;
    EXPECT_EQ(read.error().code(), Code::kCorrupt);
    EXPECT_NE(read.error().message().find("parts/x"), std::string::npos);
  }
}

TEST_P(BackendTest, WholeReadsAreLimited) {
  ASSERT_TRUE(backend_->PutIfAbsent("parts/x", AsBytes("0123456789")));
  EXPECT_TRUE(ReadObject(*backend_, "parts/x", 10));
  const auto read = ReadObject(*backend_, "parts/x", 9);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code(), Code::kCorrupt);
}

TEST_P(BackendTest, ListingIsByPrefixSortedAndWithSizes) {
  for (const char* key : {"parts/2", "manifest-2", "parts/10", "packs/1", "manifest-1"})
    ASSERT_TRUE(backend_->PutIfAbsent(key, AsBytes("1234")));
  EXPECT_EQ(Keys(), (Strings{"manifest-1", "manifest-2", "packs/1", "parts/10", "parts/2"}));
  EXPECT_EQ(Keys("manifest-"), (Strings{"manifest-1", "manifest-2"}));
  EXPECT_EQ(Keys("parts/"), (Strings{"parts/10", "parts/2"}));
  EXPECT_EQ(Keys("parts/1"), Strings{"parts/10"});
  EXPECT_EQ(Keys("pa"), (Strings{"packs/1", "parts/10", "parts/2"}));
  EXPECT_EQ(Keys("x"), Strings{});
  EXPECT_EQ(backend_->List("packs/")->front().size_bytes, 4u);
}

TEST_P(BackendTest, DeletingTwiceIsSuccess) {
  ASSERT_TRUE(backend_->PutIfAbsent("parts/x", AsBytes("1")));
  EXPECT_TRUE(backend_->Delete("parts/x"));
  EXPECT_TRUE(backend_->Delete("parts/x"));
  EXPECT_TRUE(backend_->Delete("never/was"));
  EXPECT_EQ(Keys(), Strings{});
  EXPECT_TRUE(backend_->PutIfAbsent("parts/x", AsBytes("2")));
}

TEST_P(BackendTest, AnOpenReaderOutlivesDeletion) {
  if (!backend_->capabilities().keeps_deleted_for_readers)
    GTEST_SKIP() << "readers lose what is deleted here";
  ASSERT_TRUE(backend_->PutIfAbsent("parts/x", AsBytes("text")));
  const auto reader = backend_->Open("parts/x");
  ASSERT_TRUE(reader);
  ASSERT_TRUE(backend_->Delete("parts/x"));
  std::array<std::byte, 4> out;
  EXPECT_TRUE((*reader)->ReadAt(0, out));
}

TEST_P(BackendTest, OnlyAnEmptyPlaceIsRemoved) {
  ASSERT_TRUE(backend_->PutIfAbsent("parts/x", AsBytes("text")));
  EXPECT_TRUE(backend_->RemoveIfEmpty());
  EXPECT_EQ(Text("parts/x"), "text");
  ASSERT_TRUE(backend_->Delete("parts/x"));
  EXPECT_TRUE(backend_->RemoveIfEmpty());
  EXPECT_EQ(Keys(), Strings{});
  EXPECT_TRUE(backend_->RemoveIfEmpty());
  EXPECT_TRUE(backend_->Prepare());
}

TEST_P(BackendTest, LargeObjectsFromManyThreads) {
  const std::string text(3'000'001, 'x');
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&, i] {
      auto writer = backend_->Create("packs/" + std::to_string(i));
      ASSERT_TRUE(writer);
      for (int n = 0; n < 3; ++n) ASSERT_TRUE((*writer)->Append(AsBytes(text)));
      ASSERT_TRUE((*writer)->Finish());
    });
  threads.clear();
  const auto objects = backend_->List("packs/");
  ASSERT_TRUE(objects);
  ASSERT_EQ(objects->size(), 4u);
  for (const ObjectInfo& object : *objects) EXPECT_EQ(object.size_bytes, 3 * text.size());
}

INSTANTIATE_TEST_SUITE_P(
    All, BackendTest,
    testing::Values(Kind{"Memory", [] { return std::make_unique<MemoryPlace>(); }},
                    Kind{"Posix", [] { return std::make_unique<PosixPlace>(); }},
                    Kind{"Gcs", [] { return std::make_unique<GcsPlace>(); }},
                    Kind{"S3", [] { return std::make_unique<S3Place>(); }}),
    [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace holdfast::storage
