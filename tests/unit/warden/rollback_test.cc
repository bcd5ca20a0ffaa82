// Storing a job's files and putting them back, in a directory that stands for a pod's root.
#include "warden/files/rollback.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <random>

#include "base/files.h"
#include "fake_checkpoint.h"
#include "warden/files/capture.h"
#include "warden/files/tree.h"

namespace holdfast::warden {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class FilesRollbackTest : public ::testing::Test {
 protected:
  static constexpr uid_t kUser = 54321;

  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root, to be another user";
    char directory[] = "/var/tmp/holdfast-files-test-XXXXXX";
    ASSERT_NE(::mkdtemp(directory), nullptr);
    directory_ = directory;
    ASSERT_EQ(::chmod(directory, 0711), 0);
    ASSERT_TRUE(MakeDirectories(Outer("/data/sub")));
    for (const char* path : {"/data", "/data/sub"})
      ASSERT_EQ(::chown(Outer(path).c_str(), kUser, kUser), 0);
    auto root = OpenFile(directory_, O_PATH | O_DIRECTORY);
    ASSERT_TRUE(root);
    root_ = std::move(*root);
  }
  void TearDown() override { EXPECT_TRUE(directory_.empty() || RemoveTree(directory_)); }

  std::string Outer(const std::string& path) const { return directory_ + path; }
  std::string Read(const std::string& path) const {
    return ReadFile(Outer(path)).value_or("(none)");
  }
  void Write(const std::string& path, const std::string& contents) {
    const ScopedIdentity user(owner_);
    ASSERT_TRUE(WriteFile(Outer(path), contents, 0640));
  }
  // As a process writes into a file that it has open.
  void Overwrite(const std::string& path, size_t offset, const std::string& contents) {
    const auto file = OpenFile(Outer(path), O_WRONLY);
    ASSERT_TRUE(file);
    ASSERT_TRUE(WriteFullAt(*file, AsBytes(contents), offset));
  }
  struct stat Stat(const std::string& path) const {
    struct stat info = {};
    EXPECT_EQ(::stat(Outer(path).c_str(), &info), 0) << path;
    return info;
  }
  storage::FileRecord Open(const std::string& path, bool append = false) const {
    const struct stat info = Stat(path);
    return {.path = path,
            .size_bytes = static_cast<uint64_t>(info.st_size),
            .mtime_ns = ToNanoseconds(info.st_mtim),
            .inode = info.st_ino,
            .append = append};
  }

  CaptureSummary Capture(const std::vector<storage::FileRecord>& open) {
    const FakeCheckpoint previous = std::move(checkpoint_);
    checkpoint_ = {};
    open_ = open;
    FakeWriter writer(checkpoint_, &previous);
    const auto summary = CaptureFiles(root_, owner_, open, capturing_, writer);
    EXPECT_TRUE(summary) << summary.error().message();
    return summary.value_or(CaptureSummary{});
  }
  Result<RollbackReport> RollBack() {
    FakeReader reader(checkpoint_);
    return RollBackFiles(root_, owner_, open_, &reader, rolling_back_);
  }
  RollbackReport RolledBack() {
    const auto report = RollBack();
    EXPECT_TRUE(report) << report.error().message();
    return report.value_or(RollbackReport{});
  }
  void ExpectHeld(const std::string& what) {
    const auto report = RollBack();
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().code(), Code::kChanged);
    EXPECT_THAT(report.error().message(), HasSubstr(what));
  }

  const Identity owner_{.uid = kUser, .gid = kUser, .groups = {kUser}};
  std::string directory_;
  UniqueFd root_;
  CaptureOptions capturing_{.bytes_limit = 1 << 30, .count_limit = 100};
  RollbackOptions rolling_back_{.leader = true, .job_id = 17, .checkpoint = 4};
  FakeCheckpoint checkpoint_;
  std::vector<storage::FileRecord> open_;
};

std::string Random(size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

TEST_F(FilesRollbackTest, RewrittenInPlaceIsPutBack) {
  const std::string before = Random(3 * storage::kExtentBytes + 1234, 1);
  Write("/data/a", before);
  Capture({Open("/data/a")});
  const struct stat was = Stat("/data/a");
  Overwrite("/data/a", 300'000, "changed");
  Overwrite("/data/a", before.size(), "and longer");
  const RollbackReport report = RolledBack();
  EXPECT_EQ(Read("/data/a"), before);
  EXPECT_THAT(report.rewritten, ElementsAre("/data/a"));
  EXPECT_EQ(Stat("/data/a").st_ino, was.st_ino);
  EXPECT_EQ(ToNanoseconds(Stat("/data/a").st_mtim), ToNanoseconds(was.st_mtim));
  EXPECT_EQ(report.Summary(4), "put back 1 file to checkpoint 4: rewrote /data/a");
}

TEST_F(FilesRollbackTest, AShorterFileGrowsAgain) {
  const std::string before = Random(storage::kExtentBytes + 99, 1);
  Write("/data/a", before);
  Capture({Open("/data/a")});
  ASSERT_EQ(::truncate(Outer("/data/a").c_str(), 10), 0);
  RolledBack();
  EXPECT_EQ(Read("/data/a"), before);
}

TEST_F(FilesRollbackTest, NamesAreAnyBytes) {
  const std::string longest(255, 'n');
  for (const std::string& name : {std::string("\xff\xfe"), std::string("a\nb"), longest}) {
    SCOPED_TRACE(name);
    const std::string open = "/data/" + name, declared = "/data/sub/" + name;
    Write(open, "one");
    Write(declared, "one");
    capturing_.directories = {"/data/sub"};
    Capture({Open(open)});
    Write(open, "two");
    Write(declared, "two");
    EXPECT_THAT(RolledBack().rewritten, ElementsAre(open, declared));
    EXPECT_EQ(Read(open), "one");
    EXPECT_EQ(Read(declared), "one");
  }
}

TEST_F(FilesRollbackTest, DoneAgainItIsTheSame) {
  Write("/data/a", "one");
  Capture({Open("/data/a")});
  for (int i = 0; i < 3; ++i) {
    Overwrite("/data/a", 0, "two, longer");
    RolledBack();
    EXPECT_EQ(Read("/data/a"), "one");
  }
}

TEST_F(FilesRollbackTest, UntouchedIsNotReported) {
  Write("/data/a", "one");
  Capture({Open("/data/a")});
  const RollbackReport report = RolledBack();
  EXPECT_THAT(report.rewritten, IsEmpty());
  EXPECT_EQ(report.Summary(4), "");
}

TEST_F(FilesRollbackTest, HolesStayHoles) {
  Write("/data/a", "start");
  ASSERT_EQ(::truncate(Outer("/data/a").c_str(), 64 << 20), 0);
  Overwrite("/data/a", 32 << 20, "middle");
  Capture({Open("/data/a")});
  size_t stored = 0;
  for (const auto& [offset, size] : checkpoint_.streams.at(0).pieces) stored += size;
  EXPECT_LE(stored, 2 * storage::kExtentBytes);
  const auto blocks = Stat("/data/a").st_blocks;
  Overwrite("/data/a", 8 << 20, std::string(1 << 20, 'x'));
  RolledBack();
  EXPECT_EQ(Stat("/data/a").st_size, 64 << 20);
  EXPECT_EQ(Stat("/data/a").st_blocks, blocks);
  EXPECT_EQ(Read("/data/a").find('x'), std::string::npos);
}

TEST_F(FilesRollbackTest, AnUnchangedFileIsNotReadAgain) {
  Write("/data/a", "one");
  Write("/data/b", "two");
  EXPECT_EQ(Capture({Open("/data/a"), Open("/data/b")}).read, 2u);
  Write("/data/b", "three");
  const CaptureSummary second = Capture({Open("/data/a"), Open("/data/b")});
  EXPECT_EQ(second.read, 1u);
  EXPECT_EQ(second.kept, 1u);
  Overwrite("/data/a", 0, "ONE");
  Overwrite("/data/b", 0, "THREE");
  RolledBack();
  EXPECT_EQ(Read("/data/a"), "one");
  EXPECT_EQ(Read("/data/b"), "three");
}

TEST_F(FilesRollbackTest, AppendedToIsCutBackWithoutItsContents) {
  Write("/data/log", "one\n");
  Capture({Open("/data/log", true)});
  EXPECT_THAT(checkpoint_.streams, IsEmpty());
  Overwrite("/data/log", 4, "two\n");
  const RollbackReport report = RolledBack();
  EXPECT_EQ(Read("/data/log"), "one\n");
  EXPECT_THAT(report.cut, ElementsAre("/data/log"));
}

TEST_F(FilesRollbackTest, AllStoresWhatIsAppendedToAsWell) {
  capturing_.policy = rolling_back_.policy = RollbackPolicy::kAll;
  Write("/data/log", "one\n");
  Capture({Open("/data/log", true)});
  Write("/data/log", "ONE and two\n");
  EXPECT_THAT(RolledBack().rewritten, ElementsAre("/data/log"));
  EXPECT_EQ(Read("/data/log"), "one\n");
}

TEST_F(FilesRollbackTest, AppendHoldsForOtherChanges) {
  Write("/data/a", "one");
  Capture({Open("/data/a")});
  rolling_back_.policy = RollbackPolicy::kAppend;
  Overwrite("/data/a", 3, "two");
  ExpectHeld("/data/a has 6 bytes, but had 3 at the checkpoint");
  EXPECT_EQ(Read("/data/a"), "onetwo");
}

TEST_F(FilesRollbackTest, OffHoldsForAnyChangeButTheOutputs) {
  Write("/data/log", "one\n");
  Write("/data/out", "one\n");
  std::vector<storage::FileRecord> open = {Open("/data/out", true), Open("/data/log", true)};
  open[0].job_output = true;
  Capture(open);
  rolling_back_.policy = RollbackPolicy::kOff;
  Overwrite("/data/out", 4, "two\n");
  EXPECT_TRUE(RolledBack().output_cut);
  EXPECT_EQ(Read("/data/out"), "one\n");
  Overwrite("/data/log", 4, "two\n");
  ExpectHeld("/data/log has 8 bytes");
}

TEST_F(FilesRollbackTest, AShorterLogHolds) {
  Write("/data/log", "one\n");
  Capture({Open("/data/log", true)});
  ASSERT_EQ(::truncate(Outer("/data/log").c_str(), 1), 0);
  ExpectHeld("/data/log has 1 bytes, but had 4 at the checkpoint");
}

TEST_F(FilesRollbackTest, AReplacedLogHolds) {
  Write("/data/log", "one\n");
  Capture({Open("/data/log", true)});
  Write("/data/new", "quite another\n");
  ASSERT_EQ(::rename(Outer("/data/new").c_str(), Outer("/data/log").c_str()), 0);
  ExpectHeld("/data/log has been replaced");
  EXPECT_EQ(Read("/data/log"), "quite another\n");
}

TEST_F(FilesRollbackTest, ASymbolicLinkInItsPlaceHolds) {
  Write("/data/a", "one");
  Write("/data/log", "one");
  for (const bool append : {false, true}) {
    const std::string path = append ? "/data/log" : "/data/a";
    Capture({Open(path, append)});
    Write("/data/other", "precious, and longer");
    ASSERT_EQ(::unlink(Outer(path).c_str()), 0);
    ASSERT_EQ(::symlink("other", Outer(path).c_str()), 0);
    ExpectHeld(path + " is a symbolic link now");
    EXPECT_EQ(Read("/data/other"), "precious, and longer");
  }
}

TEST_F(FilesRollbackTest, ASymbolicLinkOnTheWayHolds) {
  Write("/data/sub/a", "one");
  Capture({Open("/data/sub/a")});
  ASSERT_TRUE(MakeDirectories(Outer("/elsewhere")));
  ASSERT_TRUE(WriteFile(Outer("/elsewhere/a"), "precious"));
  std::filesystem::rename(Outer("/data/sub"), Outer("/data/moved"));
  ASSERT_EQ(::symlink("/elsewhere", Outer("/data/sub").c_str()), 0);
  ExpectHeld("/data/sub/a is reached through a symbolic link now");
  EXPECT_EQ(Read("/elsewhere/a"), "precious");
}

TEST_F(FilesRollbackTest, AFifoInItsPlaceHolds) {
  Write("/data/a", "one");
  Capture({Open("/data/a")});
  ASSERT_EQ(::unlink(Outer("/data/a").c_str()), 0);
  ASSERT_EQ(::mkfifo(Outer("/data/a").c_str(), 0666), 0);
  ExpectHeld("/data/a is not a regular file any more");
}

TEST_F(FilesRollbackTest, ItIsDoneWithTheUsersRights) {
  Write("/data/a", "one");
  Capture({Open("/data/a")});
  Overwrite("/data/a", 0, "two");
  ASSERT_EQ(::chown(Outer("/data/a").c_str(), 0, 0), 0);
  EXPECT_FALSE(RollBack());
  EXPECT_EQ(Read("/data/a"), "two");
}

TEST_F(FilesRollbackTest, AMissingFileIsMadeAgain) {
  Write("/data/sub/a", "one");
  Capture({Open("/data/sub/a")});
  std::filesystem::remove_all(Outer("/data/sub"));
  EXPECT_THAT(RolledBack().created, ElementsAre("/data/sub/a"));
  EXPECT_EQ(Read("/data/sub/a"), "one");
  EXPECT_EQ(Stat("/data/sub/a").st_uid, kUser);
  EXPECT_EQ(Stat("/data/sub/a").st_mode & 0777, 0640u);
  // And the next restore takes the new one for the old.
  EXPECT_EQ(RolledBack().Summary(4), "");
}

TEST_F(FilesRollbackTest, WhatTookItsPlaceIsSetAside) {
  Write("/data/a", "one");
  Capture({Open("/data/a")});
  Write("/data/new", "newer");
  ASSERT_EQ(::rename(Outer("/data/new").c_str(), Outer("/data/a").c_str()), 0);
  const RollbackReport report = RolledBack();
  EXPECT_EQ(Read("/data/a"), "one");
  EXPECT_THAT(report.set_aside, ElementsAre("/data/.holdfast-set-aside-17-4/a"));
  EXPECT_EQ(Read("/data/.holdfast-set-aside-17-4/a"), "newer");
}

TEST_F(FilesRollbackTest, ADeclaredDirectoryIsPutBack) {
  capturing_.directories = {"/data"};
  Write("/data/same", "same");
  Write("/data/sub/changed", "before");
  Write("/data/gone", "gone");
  Write("/data/open", "open");
  EXPECT_EQ(Capture({Open("/data/open")}).read, 4u);
  Write("/data/sub/changed", "after, longer");
  Write("/data/open", "OPEN");
  Write("/data/sub/new", "new");
  Write("/data/new", "new too");
  ASSERT_EQ(::unlink(Outer("/data/gone").c_str()), 0);
  const RollbackReport report = RolledBack();
  EXPECT_EQ(Read("/data/same"), "same");
  EXPECT_EQ(Read("/data/sub/changed"), "before");
  EXPECT_EQ(Read("/data/gone"), "gone");
  EXPECT_EQ(Read("/data/open"), "open");
  EXPECT_EQ(Read("/data/new"), "(none)");
  EXPECT_EQ(Read("/data/.holdfast-set-aside-17-4/new"), "new too");
  EXPECT_EQ(Read("/data/.holdfast-set-aside-17-4/sub/new"), "new");
  EXPECT_THAT(report.set_aside, ::testing::SizeIs(2));
  EXPECT_THAT(report.created, ElementsAre("/data/gone"));
  // A second time the same name is free again, and nothing that was set aside is lost.
  Write("/data/new", "newest");
  RolledBack();
  EXPECT_EQ(Read("/data/.holdfast-set-aside-17-4/new"), "new too");
  EXPECT_EQ(Read("/data/.holdfast-set-aside-17-4/new.1"), "newest");
}

TEST_F(FilesRollbackTest, OnlyTheLeaderTouchesDeclaredDirectories) {
  capturing_.directories = {"/data"};
  Write("/data/a", "one");
  Capture({});
  Write("/data/a", "two");
  rolling_back_.leader = false;
  RolledBack();
  EXPECT_EQ(Read("/data/a"), "two");
}

TEST_F(FilesRollbackTest, CheckpointsInADeclaredDirectoryAreLeftOut) {
  capturing_.directories = {"/data"};
  capturing_.excluded = rolling_back_.excluded = "/data/sub";
  Write("/data/sub/pack", "image");
  EXPECT_EQ(Capture({}).read, 0u);
  Write("/data/sub/pack2", "image");
  RolledBack();
  EXPECT_EQ(Read("/data/sub/pack2"), "image");
}

TEST_F(FilesRollbackTest, AnotherDirectoryInItsPlaceHolds) {
  capturing_.directories = {"/data/sub"};
  Capture({});
  std::filesystem::rename(Outer("/data/sub"), Outer("/data/moved"));
  ASSERT_TRUE(MakeDirectories(Outer("/data/sub")));
  ExpectHeld("/data/sub (--checkpoint-files) is not the directory");
}

TEST_F(FilesRollbackTest, ALinkAsSetAsideDirectoryIsNotFollowed) {
  capturing_.directories = {"/data"};
  Capture({});
  Write("/data/new", "new");
  ASSERT_EQ(::symlink("/etc", Outer("/data/.holdfast-set-aside-17-4").c_str()), 0);
  ExpectHeld("symbolic link");
  EXPECT_EQ(Read("/data/new"), "new");
}

TEST_F(FilesRollbackTest, BeyondTheLimitsFilesAreNamedAndMustNotChange) {
  capturing_.bytes_limit = 10'000;
  Write("/data/small", "small");
  Write("/data/large", std::string(100'000, 'x'));
  const CaptureSummary summary = Capture({Open("/data/small"), Open("/data/large")});
  EXPECT_EQ(summary.read, 1u);
  EXPECT_THAT(summary.skipped,
              ElementsAre(HasSubstr("/data/large: beyond checkpoint.files_limit")));
  Overwrite("/data/small", 0, "SMALL");
  RolledBack();
  EXPECT_EQ(Read("/data/small"), "small");
  Overwrite("/data/large", 0, "y");
  ExpectHeld("/data/large was modified after the checkpoint");
}

TEST_F(FilesRollbackTest, TooManyFilesInADirectoryAreNotSetAside) {
  capturing_.directories = {"/data"};
  capturing_.count_limit = 1;
  Write("/data/a", "a");
  Write("/data/b", "b");
  EXPECT_THAT(Capture({}).skipped, ElementsAre("/data: more than 1 files"));
  Write("/data/c", "c");
  RolledBack();
  EXPECT_EQ(Read("/data/c"), "c");
}

TEST_F(FilesRollbackTest, AFileThatTheFirstNodeDoesNotSeeIsSkipped) {
  Write("/data/a", "one");
  storage::FileRecord elsewhere = Open("/data/a");
  elsewhere.inode += 1;
  const CaptureSummary summary = Capture({elsewhere, {.path = "/local/b", .size_bytes = 3}});
  EXPECT_EQ(summary.skipped.size(), 2u);
  EXPECT_THAT(checkpoint_.streams, IsEmpty());
}

TEST(FilesTable, RefusesPathsThatLeadOut) {
  for (const auto& [path, root] : {std::pair{"a", 0U}, {"/a", 1U}, {"a/../../b", 1U}, {"a", 2U}}) {
    rollback::Table table;
    table.set_version(kFilesTableVersion);
    table.add_roots()->set_path("/data");
    rollback::File& file = *table.add_files();
    file.set_path(path);
    file.set_root(root);
    const auto parsed = ParseFilesTable(table.SerializeAsString());
    ASSERT_FALSE(parsed) << path;
    EXPECT_EQ(parsed.error().code(), Code::kCorrupt);
  }
}

}  // namespace
}  // namespace holdfast::warden
