#include "warden/isolation/memory_room.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/files.h"

namespace holdfast::warden {
namespace {

class MemoryRoomTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "holdfast-room-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    ASSERT_TRUE(MakeDirectories(root_ + "/job/step", 0700));
  }
  void TearDown() override { ASSERT_TRUE(RemoveTree(root_)); }

  void Version1(const std::string& at, const std::string& limit, const std::string& usage,
                const std::string& stat) {
    ASSERT_TRUE(WriteNew(at + "/memory.limit_in_bytes", limit));
    ASSERT_TRUE(WriteNew(at + "/memory.usage_in_bytes", usage));
    ASSERT_TRUE(WriteNew(at + "/memory.stat", stat));
  }
  void Version2(const std::string& at, const std::string& limit, const std::string& usage,
                const std::string& stat) {
    ASSERT_TRUE(WriteNew(at + "/memory.max", limit));
    ASSERT_TRUE(WriteNew(at + "/memory.current", usage));
    ASSERT_TRUE(WriteNew(at + "/memory.stat", stat));
  }
  Status WriteNew(const std::string& path, const std::string& text) {
    HOLDFAST_CHECK(OpenFile(root_ + path, O_WRONLY | O_CREAT).transform([](UniqueFd) {}));
    return WriteFile(root_ + path, text + "\n");
  }

  std::string root_;
};

TEST_F(MemoryRoomTest, IsWhatTheTightestLimitLeaves) {
  Version1("/job", "1000", "700", "cache 9\ntotal_inactive_file 0\ntotal_active_file 0");
  Version1("/job/step", "2000", "600", "total_inactive_file 0\ntotal_active_file 0");
  EXPECT_EQ(MemoryRoomIn(root_ + "/job/step").value(), 300U);
  EXPECT_EQ(MemoryRoomIn(root_ + "/job/step/").value(), 300U) << "as FindCgroup may say it";
}

TEST_F(MemoryRoomTest, CountsFileCacheAsRoom) {
  Version1("/job", "1000", "900", "inactive_file 1\ntotal_inactive_file 200\ntotal_active_file 50");
  EXPECT_EQ(MemoryRoomIn(root_ + "/job").value(), 350U);
  Version1("/job/step", "1000", "900", "total_inactive_file 5000\ntotal_active_file 0");
  EXPECT_EQ(MemoryRoomIn(root_ + "/job/step").value(), 350U) << "read at different moments";
}

TEST_F(MemoryRoomTest, IsNothingBeyondTheLimit) {
  Version1("/job", "1000", "1200", "total_inactive_file 0\ntotal_active_file 0");
  EXPECT_EQ(MemoryRoomIn(root_ + "/job").value(), 0U);
}

TEST_F(MemoryRoomTest, KnowsVersion2) {
  Version2("/job", "1000", "700", "inactive_file 60\nactive_file 40");
  Version2("/job/step", "max", "600", "inactive_file 0\nactive_file 0");
  EXPECT_EQ(MemoryRoomIn(root_ + "/job/step").value(), 400U);
}

TEST_F(MemoryRoomTest, ThereMayBeNoLimit) {
  Version1("/job", "9223372036854771712", "700", "total_inactive_file 0\ntotal_active_file 0");
  EXPECT_EQ(MemoryRoomIn(root_ + "/job").value(), std::nullopt);
  EXPECT_EQ(MemoryRoomIn(root_ + "/job/step").value(), std::nullopt) << "no memory controller";
  EXPECT_TRUE(MemoryRoom()) << "whatever this machine has";
}

TEST_F(MemoryRoomTest, RefusesWhatIsNoNumber) {
  Version1("/job", "plenty", "700", "");
  EXPECT_FALSE(MemoryRoomIn(root_ + "/job"));
}

}  // namespace
}  // namespace holdfast::warden
