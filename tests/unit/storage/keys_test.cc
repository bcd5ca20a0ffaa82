#include "storage/keys.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"

namespace holdfast::storage {
namespace {

class SiteKeyTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "a site key belongs to root; this does not run as root";
    char name[] = "/tmp/holdfast-key-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
    path_ = directory_ + "/site.key";
  }
  void TearDown() override {
    if (directory_.empty()) return;
    EXPECT_TRUE(RemoveTree(directory_));
  }
  Code CodeOf(const std::string& contents, mode_t mode = 0600, uid_t uid = 0) {
    EXPECT_TRUE(WriteFile(path_, contents));
    EXPECT_EQ(::chmod(path_.c_str(), mode), 0);
    EXPECT_EQ(::chown(path_.c_str(), uid, 0), 0);
    const auto key = LoadSiteKey(path_);
    EXPECT_FALSE(key);
    return key ? Code::kInternal : key.error().code();
  }

  std::string directory_, path_;
  const std::string digits_ = std::string(62, 'a') + "0F";
};

TEST_F(SiteKeyTest, ReadsHexDigitsWithOrWithoutNewline) {
  for (const std::string& text : {digits_, digits_ + "\n"}) {
    ASSERT_TRUE(WriteFile(path_, text, 0400));
    const auto key = LoadSiteKey(path_);
    ASSERT_TRUE(key) << key.error().message();
    EXPECT_EQ(key->bytes.front(), std::byte{0xaa});
    EXPECT_EQ(key->bytes.back(), std::byte{0x0f});
  }
}

TEST_F(SiteKeyTest, OthersMustNotBeAbleToReadOrReplaceIt) {
  EXPECT_EQ(CodeOf(digits_, 0644), Code::kDenied);
  EXPECT_EQ(CodeOf(digits_, 0640), Code::kDenied);
  EXPECT_EQ(CodeOf(digits_, 0600, 12345), Code::kDenied);
}

TEST_F(SiteKeyTest, AnythingButSixtyFourDigitsIsRefused) {
  EXPECT_EQ(CodeOf(""), Code::kInvalid);
  EXPECT_EQ(CodeOf(digits_.substr(1)), Code::kInvalid);
  EXPECT_EQ(CodeOf(digits_ + "0"), Code::kInvalid);
  EXPECT_EQ(CodeOf("x" + digits_.substr(1)), Code::kInvalid);
  EXPECT_EQ(CodeOf(digits_ + "\n\n"), Code::kInvalid);
}

TEST_F(SiteKeyTest, EncryptionKeysAreOneALine) {
  const std::string first(64, '1'), second(64, '2');
  ASSERT_TRUE(WriteFile(path_, first + "\n" + second + "\n", 0400));
  const auto loaded = LoadEncryptionKeys(path_);
  ASSERT_TRUE(loaded) << loaded.error().message();
  ASSERT_EQ(loaded->keys.size(), 2u);
  EXPECT_EQ(loaded->keys[0].bytes[5], std::byte{0x11});
  EXPECT_EQ(loaded->keys[1].bytes[5], std::byte{0x22});
  EXPECT_EQ(loaded->path, path_);
  for (const std::string& text :
       {std::string(), first + "\n\n" + second, first + second, "#\n" + first}) {
    ASSERT_TRUE(WriteFile(path_, text, 0400));
    const auto refused = LoadEncryptionKeys(path_);
    ASSERT_FALSE(refused) << text;
    EXPECT_EQ(refused.error().code(), Code::kInvalid);
    EXPECT_TRUE(refused.error().message().contains(path_));
  }
  ASSERT_TRUE(WriteFile(path_, first, 0400));
  ASSERT_EQ(::chmod(path_.c_str(), 0444), 0);
  EXPECT_FALSE(LoadEncryptionKeys(path_));
}

TEST_F(SiteKeyTest, MissingFileIsNamed) {
  const auto key = LoadSiteKey(path_);
  ASSERT_FALSE(key);
  EXPECT_EQ(key.error().code(), Code::kNotFound);
  EXPECT_NE(key.error().message().find(path_), std::string::npos);
}

}  // namespace
}  // namespace holdfast::storage
