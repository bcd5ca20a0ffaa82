#include "storage/cipher.h"

#include <set>

#include "tests/unit/storage/test_job.h"

namespace holdfast::storage {
namespace {

class CipherTest : public testing::Test {
 protected:
  CipherTest() { Seal(key_, NonceOf(7), "about", data_, sealed_); }
  bool Opens(const CipherKey& key, const Nonce& nonce, std::string_view about) {
    return Unseal(key, nonce, about, sealed_, out_) && out_ == data_;
  }

  const CipherKey key_ = RandomKey();
  const Bytes data_ = RandomBytes(100'000, 1);
  Bytes sealed_ = Bytes(data_.size() + kSealBytes);
  Bytes out_ = Bytes(data_.size());
};

TEST_F(CipherTest, WhatWasSealedIsOpened) { EXPECT_TRUE(Opens(key_, NonceOf(7), "about")); }

TEST_F(CipherTest, NothingElseIs) {
  EXPECT_FALSE(Opens(RandomKey(), NonceOf(7), "about"));
  EXPECT_FALSE(Opens(key_, NonceOf(8), "about"));
  EXPECT_FALSE(Opens(key_, NonceOf(7ULL << 32), "about"));
  EXPECT_FALSE(Opens(key_, NonceOf(7), "another"));
  for (const size_t at : {size_t{0}, data_.size() / 2, sealed_.size() - 1}) {
    sealed_[at] ^= std::byte{1};
    EXPECT_FALSE(Opens(key_, NonceOf(7), "about")) << at;
    sealed_[at] ^= std::byte{1};
  }
  sealed_.pop_back();
  EXPECT_FALSE(Unseal(key_, NonceOf(7), "about", sealed_, out_));
}

TEST_F(CipherTest, KeysAndNoncesDiffer) {
  std::set<CipherKey> keys;
  std::set<Nonce> nonces;
  for (uint64_t i = 0; i < 100; ++i) {
    keys.insert(RandomKey());
    nonces.insert(RandomNonce());
    nonces.insert(NonceOf(i << 28));
  }
  EXPECT_EQ(keys.size(), 100u);
  EXPECT_EQ(nonces.size(), 200u);
}

// XChaCha20-Poly1305: draft-irtf-cfrg-xchacha-03, A.3.1.
TEST_F(CipherTest, IsTheCipherThatItSays) {
  const std::string text =
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
      "sunscreen would be it.";
  CipherKey key;
  for (size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::byte>(0x80 + i);
  Nonce nonce;
  for (size_t i = 0; i < nonce.size(); ++i) nonce[i] = static_cast<std::byte>(0x40 + i);
  const std::string about("\x50\x51\x52\x53\xc0\xc1\xc2\xc3\xc4\xc5\xc6\xc7", 12);
  Bytes sealed(text.size() + kSealBytes);
  Seal(key, nonce, about, std::as_bytes(std::span(text)), sealed);
  const Bytes expected{std::byte{0xbd}, std::byte{0x6d}, std::byte{0x17}, std::byte{0x9d}};
  EXPECT_TRUE(std::ranges::equal(std::span(sealed).first(4), expected));
  const Bytes tag{std::byte{0xc0}, std::byte{0x87}, std::byte{0x59}, std::byte{0x24}};
  EXPECT_TRUE(std::ranges::equal(std::span(sealed).subspan(text.size(), 4), tag));
}

}  // namespace
}  // namespace holdfast::storage
