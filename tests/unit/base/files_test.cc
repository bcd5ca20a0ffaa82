#include "base/files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace holdfast {
namespace {

class FilesTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/holdfast-files-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(directory_)); }
  std::string Path(const std::string& name) const { return directory_ + "/" + name; }

  std::string directory_;
};

TEST_F(FilesTest, ReplaceLeavesTheNewContentsAndNoTemporary) {
  ASSERT_TRUE(WriteFile(Path("a"), "old"));
  ASSERT_TRUE(ReplaceFile(Path("a"), "new"));
  EXPECT_EQ(*ReadFile(Path("a")), "new");
  EXPECT_EQ(*ListDirectory(directory_), std::vector<std::string>{"a"});
}

TEST_F(FilesTest, ReplaceIntoAMissingDirectoryNamesThePath) {
  const auto replaced = ReplaceFile(Path("missing/a"), "x");
  ASSERT_FALSE(replaced);
  EXPECT_EQ(replaced.error().code(), Code::kNotFound);
  EXPECT_NE(replaced.error().message().find("missing/a"), std::string::npos);
}

TEST_F(FilesTest, ShortFileIsCorruptNotShort) {
  ASSERT_TRUE(WriteFile(Path("a"), "abc"));
  const auto fd = OpenFile(Path("a"), O_RDONLY);
  ASSERT_TRUE(fd);
  std::byte buffer[4];
  const auto read = ReadFull(*fd, buffer);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code(), Code::kCorrupt);
}

TEST_F(FilesTest, OpenAtDoesNotFollowLinks) {
  ASSERT_TRUE(WriteFile(Path("secret"), "x"));
  ASSERT_EQ(::symlink("secret", Path("link").c_str()), 0);
  const auto directory = OpenFile(directory_, O_RDONLY | O_DIRECTORY);
  ASSERT_TRUE(directory);
  EXPECT_TRUE(OpenAt(*directory, "secret", O_RDONLY));
  EXPECT_FALSE(OpenAt(*directory, "link", O_RDONLY));
}

TEST_F(FilesTest, RemoveTreeStaysInside) {
  ASSERT_TRUE(MakeDirectories(Path("keep")));
  ASSERT_TRUE(WriteFile(Path("keep/file"), "x"));
  ASSERT_TRUE(MakeDirectories(Path("tree/deep/er")));
  ASSERT_EQ(::symlink(Path("keep").c_str(), Path("tree/link").c_str()), 0);
  ASSERT_TRUE(RemoveTree(Path("tree")));
  EXPECT_FALSE(FileExists(Path("tree")));
  EXPECT_TRUE(FileExists(Path("keep/file")));
  EXPECT_TRUE(RemoveTree(Path("tree")));
}

}  // namespace
}  // namespace holdfast
