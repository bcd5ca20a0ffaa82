#include "storage/pod_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "base/files.h"
#include "tests/unit/storage/test_job.h"

namespace holdfast::storage {
namespace {

class PodReaderTest : public JobTest {
 protected:
  // Raw, compressed and zero parts.
  void SetUp() override {
    memory_ = RandomBytes(12 * kExtentBytes + 777, 1);
    for (size_t i = 0; i < 3 * kExtentBytes; ++i) memory_[i] = static_cast<std::byte>(i / 5000);
    std::fill_n(memory_.begin() + 5 * kExtentBytes, 2 * kExtentBytes, std::byte{0});
    ASSERT_OK(SaveCheckpoint(*store_, 1, memory_));
    for (size_t i = 0; i < memory_.size(); i += 100'000) memory_[i] ^= std::byte{0x80};
    ASSERT_OK(SaveCheckpoint(*store_, 2, memory_));
  }
  std::unique_ptr<PodReader> Reader() {
    const auto manifest = store_->ReadManifest(2);
    EXPECT_TRUE(manifest);
    auto reader = store_->Read(*manifest, 0);
    EXPECT_TRUE(reader) << reader.error().message();
    return std::move(*reader);
  }

  Bytes memory_;
};

TEST_F(PodReaderTest, AnyRangeIsRead) {
  const auto reader = Reader();
  std::mt19937_64 random(3);
  for (int i = 0; i < 500; ++i) {
    const size_t offset = random() % memory_.size();
    const size_t size = random() % std::min<size_t>(memory_.size() - offset, 3 * kExtentBytes);
    Bytes out(size, std::byte{0xee});
    ASSERT_OK(reader->Read(0, offset, out));
    ASSERT_TRUE(
        std::equal(out.begin(), out.end(), memory_.begin() + static_cast<ptrdiff_t>(offset)))
        << offset << " " << size;
  }
}

TEST_F(PodReaderTest, BeyondTheEndIsRefused) {
  const auto reader = Reader();
  Bytes out(10);
  EXPECT_TRUE(reader->Read(0, memory_.size() - 10, out));
  EXPECT_CODE(reader->Read(0, memory_.size() - 9, out), Code::kInvalid);
  EXPECT_CODE(reader->Read(0, ~0ULL - 3, out), Code::kInvalid);
  EXPECT_CODE(reader->Read(1, 0, out), Code::kInvalid);
}

TEST_F(PodReaderTest, PagesAreReadByManyThreads) {
  const auto reader = Reader();
  std::vector<std::jthread> threads;
  for (uint64_t seed = 0; seed < 4; ++seed)
    threads.emplace_back([&, seed] {
      std::mt19937_64 random(seed);
      Bytes page(4096);
      for (int i = 0; i < 500; ++i) {
        const size_t offset = random() % (memory_.size() / 4096) * 4096;
        EXPECT_TRUE(reader->Read(0, offset, page));
        EXPECT_TRUE(
            std::equal(page.begin(), page.end(), memory_.begin() + static_cast<ptrdiff_t>(offset)));
      }
    });
}

TEST_F(PodReaderTest, ACopyIsEqualAndHasHoles) {
  const auto reader = Reader();
  char name[] = "/tmp/holdfast-copy-XXXXXX";
  UniqueFd file(::mkostemp(name, O_CLOEXEC));
  ASSERT_TRUE(file.valid());
  ::unlink(name);
  ASSERT_OK(WriteFull(file, RandomBytes(memory_.size() + 100'000, 9)));  // what it held before
  ASSERT_OK(reader->CopyTo(0, file, 3));
  struct stat status{};
  ASSERT_EQ(::fstat(file.get(), &status), 0);
  ASSERT_EQ(static_cast<size_t>(status.st_size), memory_.size());
  EXPECT_LE(static_cast<size_t>(status.st_blocks) * 512, memory_.size() - kExtentBytes);
  Bytes copied(memory_.size());
  ASSERT_OK(ReadFullAt(file, copied, 0));
  EXPECT_EQ(copied, memory_);
}

// Each byte of a pack that a checkpoint uses is covered by a digest.
TEST_F(PodReaderTest, AnyFlippedBitInAPackIsFoundAndNamed) {
  const std::string name = Keys("packs/").front();
  const Bytes contents = backend_->Get(name);
  size_t found = 0;
  std::mt19937_64 random(5);
  for (int i = 0; i < 40; ++i) {
    Bytes damaged = contents;
    damaged[random() % damaged.size()] ^= static_cast<std::byte>(1 << random() % 8);
    backend_->Set(name, damaged);
    const auto first = LoadCheckpoint(*store_, 1);
    ASSERT_FALSE(first) << "checkpoint 1 uses all of its pack";
    EXPECT_EQ(first.error().code(), Code::kCorrupt);
    EXPECT_NE(first.error().message().find(name), std::string::npos) << first.error().message();
    const auto second = LoadCheckpoint(*store_, 2);
    if (!second) {
      ++found;
    } else {
      EXPECT_EQ(*second, memory_);
    }
  }
  EXPECT_GT(found, 10u);
}

TEST_F(PodReaderTest, VerifyingReadsEverything) {
  const auto manifest = store_->ReadManifest(2);
  ASSERT_OK(manifest);
  ASSERT_OK(store_->Verify(*manifest, 3));
  const std::string name = Keys("packs/").back();
  Bytes contents = backend_->Get(name);
  contents.back() ^= std::byte{1};
  backend_->Set(name, contents);
  const auto verified = store_->Verify(*manifest, 3);
  ASSERT_FALSE(verified);
  EXPECT_EQ(verified.error().code(), Code::kCorrupt);
  EXPECT_NE(verified.error().message().find(name), std::string::npos);
}

TEST_F(PodReaderTest, ATruncatedOrMissingPackIsFoundAndNamed) {
  const std::string name = Keys("packs/").front();
  Bytes contents = backend_->Get(name);
  contents.resize(contents.size() / 2);
  backend_->Set(name, contents);
  const auto truncated = LoadCheckpoint(*store_, 2);
  ASSERT_FALSE(truncated);
  EXPECT_EQ(truncated.error().code(), Code::kCorrupt);
  EXPECT_NE(truncated.error().message().find(name), std::string::npos);
  ASSERT_OK(backend_->Delete(name));
  EXPECT_CODE(LoadCheckpoint(*store_, 2), Code::kNotFound);
}

TEST_F(PodReaderTest, AChangedPartIsRefusedBeforeItIsParsed) {
  const std::string name = "parts/000002-0.h5";
  Bytes contents = backend_->Get(name);
  for (const size_t offset : {size_t{0}, contents.size() / 2, contents.size() - 1}) {
    Bytes damaged = contents;
    damaged[offset] ^= std::byte{4};
    backend_->Set(name, damaged);
    const auto read = LoadCheckpoint(*store_, 2);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code(), Code::kCorrupt);
    EXPECT_NE(read.error().message().find(name), std::string::npos);
  }
  // Another checkpoint's part is authentic, but not here.
  backend_->Set(name, backend_->Get("parts/000001-0.h5"));
  EXPECT_CODE(LoadCheckpoint(*store_, 2), Code::kCorrupt);
}

TEST_F(PodReaderTest, PrunedPacksStayReadableForAnOpenReader) {
  const auto reader = Reader();
  ASSERT_OK(store_->Prune(0));
  Bytes out(memory_.size());
  ASSERT_OK(reader->Read(0, 0, out));
  EXPECT_EQ(out, memory_);
}

}  // namespace
}  // namespace holdfast::storage
