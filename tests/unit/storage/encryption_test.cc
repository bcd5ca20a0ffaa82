// Checkpoints at rest, encrypted: what a thief, a user with an editor and an administrator who
// changes keys do to them.
#include <algorithm>

#include "storage/layout.h"
#include "storage/sealed_part.h"
#include "tests/unit/storage/test_job.h"

namespace holdfast::storage {
namespace {

const SiteKey kOld{{std::byte{11}}}, kNew{{std::byte{22}}};

class EncryptionTest : public JobTest {
 protected:
  EncryptionTest() { store_ = With({kOld}); }
  std::unique_ptr<JobStore> With(std::vector<SiteKey> keys) {
    return MakeJobStore(backend_, kJob, kUid,
                        storage::Keys(kSiteKey, {std::move(keys), "/etc/holdfast/encryption.key"}));
  }
  std::unique_ptr<JobStore> Plain() { return OpenStore(); }
  // Whether any object holds these bytes.
  bool Shows(std::span<const std::byte> bytes) {
    for (const std::string& key : Keys()) {
      const Bytes object = backend_->Get(key);
      if (!std::ranges::search(object, bytes).empty()) return true;
    }
    return false;
  }
  void Flip(const std::string& key, size_t at) {
    Bytes object = backend_->Get(key);
    object.at(at) ^= std::byte{1};
    backend_->Set(key, object);
  }
  void Change(size_t extent, uint64_t seed) {
    std::ranges::copy(RandomBytes(kExtentBytes, seed),
                      memory_.begin() + static_cast<ptrdiff_t>(extent * kExtentBytes));
  }

  Bytes memory_ = RandomBytes(8 * kExtentBytes + 1234, 1);
};

TEST_F(EncryptionTest, WhatWasSavedIsReadWithTheKey) {
  std::ranges::fill(std::span(memory_).first(kExtentBytes), std::byte{'x'});  // is compressed
  ASSERT_OK(SaveCheckpoint(*store_, 1, memory_));
  EXPECT_EQ(*LoadCheckpoint(*With({kOld}), 1), memory_);
  const auto manifest = store_->ReadManifest(1);
  ASSERT_OK(manifest);
  const auto reader = store_->Read(*manifest, 0);
  ASSERT_OK(reader);
  EXPECT_EQ(*(*reader)->ReadImage("inventory.img"), "checkpoint 1");
  // Pieces of blobs, in any place.
  for (const uint64_t offset :
       {uint64_t{1}, uint64_t{kExtentBytes - 10}, 3 * kExtentBytes + 5000}) {
    Bytes piece(20'000);
    ASSERT_OK((*reader)->Read(0, offset, piece));
    EXPECT_TRUE(std::ranges::equal(piece, std::span(memory_).subspan(offset, piece.size())));
  }
  const auto verified = store_->Verify(*manifest, 2);
  ASSERT_OK(verified);
  EXPECT_TRUE(verified->contents);
  EXPECT_GT(verified->read_bytes, 7 * kExtentBytes);
}

TEST_F(EncryptionTest, NothingOfTheJobIsInTheClear) {
  const std::string secret = "a secret that is longer than a block of any cipher";
  std::ranges::copy(std::as_bytes(std::span(secret)), memory_.begin() + 5 * kExtentBytes + 77);
  ASSERT_OK(SaveCheckpoint(*store_, 1, memory_));
  EXPECT_FALSE(Shows(std::as_bytes(std::span(secret))));
  EXPECT_FALSE(Shows(std::span(memory_).subspan(kExtentBytes, 64)));
  const std::string image = "checkpoint 1";
  EXPECT_FALSE(Shows(std::as_bytes(std::span(image))));
  // Nor is a digest that would tell whether memory is what somebody guesses.
  const BlockDigest digest = BlockDigestOf(std::span(memory_).subspan(kExtentBytes, kBlockBytes));
  EXPECT_FALSE(Shows(digest));
  EXPECT_FALSE(Shows(kOld.bytes));

  const auto plain = Plain();
  ASSERT_OK(SaveCheckpoint(*plain, 2, memory_));
  EXPECT_TRUE(Shows(digest)) << "the test would have found it";
}

TEST_F(EncryptionTest, TheSecondCheckpointStoresOnlyWhatChanged) {
  ASSERT_OK(SaveCheckpoint(*store_, 1, memory_));
  Change(3, 2);
  const auto second = SaveCheckpoint(*store_, 2, memory_);
  ASSERT_OK(second);
  EXPECT_LT(second->stored_bytes, 2 * kExtentBytes);
  EXPECT_EQ(*LoadCheckpoint(*store_, 2), memory_);
  ASSERT_OK(store_->Prune(1));
  EXPECT_EQ(*LoadCheckpoint(*store_, 2), memory_);
}

TEST_F(EncryptionTest, EqualMemoryIsNotEqualOnDisk) {
  ASSERT_OK(store_->Prepare());
  ASSERT_OK(WritePod(*store_, 1, 0, memory_, {.threads = 1}));
  ASSERT_OK(WritePod(*store_, 1, 1, memory_, {.threads = 1}));
  const Bytes one = backend_->Get(PackKey(1, 0, 0)), other = backend_->Get(PackKey(1, 1, 0));
  ASSERT_EQ(one.size(), other.size());
  EXPECT_NE(Bytes(one.begin(), one.begin() + 64), Bytes(other.begin(), other.begin() + 64));
}

TEST_F(EncryptionTest, WithoutTheKeyTheErrorNamesTheRemedy) {
  ASSERT_OK(SaveCheckpoint(*store_, 1, memory_));
  const auto none = LoadCheckpoint(*Plain(), 1);
  EXPECT_CODE(none, Code::kDenied);
  EXPECT_TRUE(none.error().message().contains("checkpoint.encryption_key_file"))
      << none.error().message();
  EXPECT_TRUE(none.error().message().contains(NameOf(kOld))) << none.error().message();
  const auto wrong = LoadCheckpoint(*With({kNew}), 1);
  EXPECT_CODE(wrong, Code::kDenied);
  for (const std::string& part : {std::string("/etc/holdfast/encryption.key"), NameOf(kOld),
                                  NameOf(kNew), std::string("add that key")})
    EXPECT_TRUE(wrong.error().message().contains(part)) << wrong.error().message();
}

TEST_F(EncryptionTest, WithoutTheKeyTheListIsReadAndOldOnesGo) {
  for (uint32_t checkpoint = 1; checkpoint <= 3; ++checkpoint) {
    Change(checkpoint, checkpoint);
    ASSERT_OK(SaveCheckpoint(*store_, checkpoint, memory_));
  }
  const auto user = MakeJobStore(backend_, kJob, kUid, storage::Keys::Unauthenticated());
  const auto listing = user->List();
  ASSERT_OK(listing);
  EXPECT_EQ(listing->good.size(), 3u);
  const auto verified = user->Verify(listing->good.back(), 1);
  ASSERT_OK(verified);
  EXPECT_FALSE(verified->contents);
  ASSERT_OK(user->Prune(1));
  EXPECT_EQ(Good(), std::vector<uint32_t>{3});
  EXPECT_EQ(*LoadCheckpoint(*store_, 3), memory_);
}

TEST_F(EncryptionTest, TamperedAndSwappedDataIsRefused) {
  ASSERT_OK(SaveCheckpoint(*store_, 1, memory_, {.threads = 1}));
  const std::string pack = PackKey(1, 0, 0);
  const Bytes genuine = backend_->Get(pack);
  Flip(pack, 1000);
  EXPECT_CODE(LoadCheckpoint(*store_, 1), Code::kCorrupt);
  // Two whole blobs, each with its seal.
  Bytes swapped = genuine;
  const size_t blob = kExtentBytes + kSealBytes;
  std::swap_ranges(swapped.begin(), swapped.begin() + blob, swapped.begin() + blob);
  backend_->Set(pack, swapped);
  EXPECT_CODE(LoadCheckpoint(*store_, 1), Code::kCorrupt);
  backend_->Set(pack, genuine);
  EXPECT_EQ(*LoadCheckpoint(*store_, 1), memory_);
}

TEST_F(EncryptionTest, ASealedPartIsGoodInItsPlaceOnly) {
  Part part{.job = kJob, .checkpoint = 2, .info = {.pod = 3}};
  const Bytes contents = RandomBytes(1000, 1);
  const auto file = SealPart(part, contents, kOld);
  ASSERT_OK(file);
  auto sealed = ReadSealedPart(*file);
  ASSERT_OK(sealed);
  ASSERT_TRUE(*sealed);
  EXPECT_EQ(*UnsealPart(**sealed, {{kNew, kOld}, ""}), contents);
  ++(*sealed)->pod;
  EXPECT_CODE(UnsealPart(**sealed, {{kOld}, ""}), Code::kCorrupt);
  --(*sealed)->pod;
  for (const JobName& other :
       {JobName{"other", kJobId, kJob.submitted}, JobName{"lab", 17, kJob.submitted},
        JobName{"lab", kJobId, "20270101T000000Z"}, JobName{.id = kJobId}}) {
    (*sealed)->job = other;
    EXPECT_CODE(UnsealPart(**sealed, {{kOld}, ""}), Code::kCorrupt);
  }
  (*sealed)->job = kJob;
  EXPECT_EQ(*UnsealPart(**sealed, {{kOld}, ""}), contents);
  (*sealed)->sealed[5] ^= std::byte{1};
  EXPECT_CODE(UnsealPart(**sealed, {{kOld}, ""}), Code::kCorrupt);
  (*sealed)->sealed.resize(kSealBytes);
  EXPECT_CODE(UnsealPart(**sealed, {{kOld}, ""}), Code::kCorrupt);
  const auto again = ReadSealedPart(*SealPart(part, contents, kOld));
  EXPECT_NE((*again)->nonce, (*sealed)->nonce);
}

// The new key first in the file, the old one below it until nothing needs it.
TEST_F(EncryptionTest, KeysAreChangedOneAfterTheOther) {
  ASSERT_OK(SaveCheckpoint(*store_, 1, memory_));
  const auto both = With({kNew, kOld});
  const Bytes before = memory_;
  Change(2, 9);
  const auto second = SaveCheckpoint(*both, 2, memory_);
  ASSERT_OK(second);
  EXPECT_LT(second->stored_bytes, 2 * kExtentBytes) << "packs of before are used with their keys";
  EXPECT_EQ(*LoadCheckpoint(*both, 1), before);
  ASSERT_OK(both->Prune(1));
  EXPECT_EQ(*LoadCheckpoint(*With({kNew}), 2), memory_) << "the old key is needed no more";
}

TEST_F(EncryptionTest, SwitchedOnAndOffNothingOfBeforeIsUsedAgain) {
  const auto plain = Plain();
  ASSERT_OK(SaveCheckpoint(*plain, 1, memory_));
  const auto encrypted = SaveCheckpoint(*store_, 2, memory_);
  ASSERT_OK(encrypted);
  EXPECT_GT(encrypted->stored_bytes, memory_.size());
  EXPECT_EQ(*LoadCheckpoint(*store_, 1), memory_) << "what is not encrypted can still be restored";
  const auto off = SaveCheckpoint(*Plain(), 3, memory_, {.threads = 1});
  ASSERT_OK(off);
  EXPECT_GT(off->stored_bytes, memory_.size());
  EXPECT_EQ(*LoadCheckpoint(*Plain(), 3), memory_);
  ASSERT_OK(store_->Prune(1));
  EXPECT_EQ(Keys("packs/"), std::vector<std::string>{PackKey(3, 0, 0)});
}

TEST_F(EncryptionTest, MemoryOfZerosHasNoPacks) {
  std::ranges::fill(memory_, std::byte{0});
  ASSERT_OK(SaveCheckpoint(*store_, 1, memory_));
  EXPECT_EQ(*LoadCheckpoint(*store_, 1), memory_);
  EXPECT_CODE(LoadCheckpoint(*Plain(), 1), Code::kDenied);
}

}  // namespace
}  // namespace holdfast::storage
