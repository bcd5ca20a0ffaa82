// Moves private files from pod to pod: needs root.
#include "warden/files/scratch.h"

#include <sys/mount.h>

#include "criu_fixture.h"
#include "warden/files/scratch_table.h"
#include "warden_images/scratch.pb.h"

namespace holdfast::warden {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ScratchTest : public CriuTest {
 protected:
  // What a shell command prints in the pod, run as its owner.
  std::string Run(const std::string& command) {
    SpawnOptions options;
    options.argv = {"/bin/bash", "-c", command};
    options.identity = pod_->options().owner;
    pod_->Enter(options);
    const auto output = RunCommand(options, std::chrono::seconds(20));
    EXPECT_TRUE(output);
    return output ? output->output : "";
  }

  void Save() {
    checkpoint_ = {};
    FakeWriter writer(checkpoint_);
    const auto saved = SaveScratch(*pod_, {}, writer, 2);
    ASSERT_TRUE(saved) << saved.error().message();
  }

  void ComesBack();

  Status RestoreIntoNewPod() {
    MakePod();
    FakeReader reader(checkpoint_);
    return RestoreScratch(*pod_, reader, 2).transform([](const scratch::Table&) {});
  }

  void Tamper(const std::function<void(scratch::Entry&)>& change) {
    scratch::Table table;
    ASSERT_TRUE(table.ParseFromString(checkpoint_.images[kScratchTable]));
    change(*table.mutable_entries(0));
    checkpoint_.images[kScratchTable] = table.SerializeAsString();
  }
};

constexpr const char* kDescribe =
    "cd / && find tmp dev/shm run/holdfast opt -mindepth 1 -printf '%p %y %m %u %g %s %n %T@ "
    "%l\\n' "
    "| sort; find tmp dev/shm run/holdfast opt -type f | sort | xargs sha256sum";

TEST_F(ScratchTest, ComesBackAsItWas) {
  // /tmp in memory, then on the disk, beside another one.
  for (const bool on_disk : {false, true}) {
    private_paths_ =
        on_disk ? std::vector<std::string>{"/tmp", "/opt"} : std::vector<std::string>{};
    ComesBack();
  }
}

void ScratchTest::ComesBack() {
  MakePod();
  EXPECT_EQ(Run(R"(set -e; cd /tmp
    mkdir -p a/b/c 'with space' locked; echo one > a/one; ln a/one a/b/same; ln -s ../one a/b/link
    ln -s /nowhere dangling; mkfifo pipe; touch empty; chmod 4750 a/one
    echo bytes > $'\xff\xfe'; ln $'\xff\xfe' $'a\nb'; ln -s $'\xff' $'\xfelink'
    echo long > $(printf %0255d 0)
    head -c 1000000 /dev/urandom > a/random; truncate -s 300M sparse
    printf data | dd of=sparse bs=1 seek=200000000 conv=notrunc status=none
    echo x > locked/file; chmod 000 locked/file; touch -d '2001-02-03 04:05:06.789' empty a/b
    chmod 500 locked
    head -c 700000 /dev/urandom > /dev/shm/segment; echo launch > /run/holdfast/launch
    chmod 711 /run/holdfast; [ ! -w /opt ] || head -c 300000 /dev/urandom > /opt/more)"),
            "");
  const std::string before = Run(kDescribe);
  EXPECT_THAT(before, HasSubstr("sparse"));
  Save();
  const Status restored = RestoreIntoNewPod();
  ASSERT_TRUE(restored) << restored.error().message();
  EXPECT_EQ(Run(kDescribe), before);
  EXPECT_EQ(Run("stat -c %b /tmp/sparse"), "8\n");  // holes are still holes
  EXPECT_EQ(Run("stat -c %i /tmp/a/one"), Run("stat -c %i /tmp/a/b/same"));
}

TEST_F(ScratchTest, PiecesOfAFileDoNotDependOnOtherFiles) {
  MakePod();
  Run("head -c 600000 /dev/urandom > /tmp/zz");
  Save();
  const auto pieces = [&] {
    std::vector<std::string> contents;
    for (const auto& [offset, size] : checkpoint_.streams[0].pieces)
      contents.emplace_back(
          reinterpret_cast<const char*>(checkpoint_.streams[0].bytes.data() + offset), size);
    std::ranges::sort(contents);
    return contents;
  };
  const auto first = pieces();
  EXPECT_EQ(first.size(), 3u);
  Run("echo more > /tmp/aa; mkdir /tmp/dir; echo b > /tmp/dir/b");
  Save();
  EXPECT_TRUE(std::ranges::includes(pieces(), first));
}

TEST_F(ScratchTest, SymbolicLinksLeadNowhere) {
  MakePod();
  Run("ln -s /etc /tmp/etc; ln -s /etc/passwd /dev/shm/passwd");
  Save();
  EXPECT_EQ(checkpoint_.streams[0].bytes.size(), 0u);
}

TEST_F(ScratchTest, NothingOfOthersIsMade) {
  MakePod();
  Run("echo x > /tmp/file");
  Save();
  const FakeCheckpoint good = checkpoint_;
  scratch::Table elsewhere;
  ASSERT_TRUE(elsewhere.ParseFromString(checkpoint_.images[kScratchTable]));
  elsewhere.set_roots(0, "/etc");
  checkpoint_.images[kScratchTable] = elsewhere.SerializeAsString();
  EXPECT_FALSE(RestoreIntoNewPod());
  EXPECT_FALSE(FileExists("/etc/file"));
  const std::pair<Code, std::function<void(scratch::Entry&)>> tampers[] = {
      {Code::kDenied, [](scratch::Entry& entry) { entry.set_uid(0); }},
      {Code::kDenied, [](scratch::Entry& entry) { entry.set_gid(0); }},
      {Code::kCorrupt, [](scratch::Entry& entry) { entry.set_path("../etc/evil"); }},
      {Code::kCorrupt, [](scratch::Entry& entry) { entry.set_path("/etc/evil"); }},
      {Code::kCorrupt, [](scratch::Entry& entry) { entry.set_path(""); }},
      {Code::kCorrupt, [](scratch::Entry& entry) { entry.set_root(17); }},
      {Code::kCorrupt, [](scratch::Entry& entry) { entry.set_target("../../etc/passwd"); }},
      {Code::kCorrupt, [](scratch::Entry& entry) { entry.set_stream_offset(~0ULL); }},
      {Code::kCorrupt, [](scratch::Entry& entry) { entry.mutable_runs(0)->set_size(~0ULL); }},
      {Code::kCorrupt, [](scratch::Entry& entry) { entry.set_mode(S_IFCHR | 0666); }},
  };
  for (const auto& [code, tamper] : tampers) {
    checkpoint_ = good;
    Tamper(tamper);
    const Status status = RestoreIntoNewPod();
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code(), code) << status.error().message();
  }
}

TEST_F(ScratchTest, SaysWhatThisNodeHasNot) {
  private_paths_ = {"/opt"};
  MakePod();
  Save();
  private_paths_ = {};
  const Status nothing_there = RestoreIntoNewPod();
  EXPECT_TRUE(nothing_there) << nothing_there.error().message();

  private_paths_ = {"/opt"};
  MakePod();
  Run("echo x > /opt/file");
  Save();
  private_paths_ = {};
  const Status elsewhere = RestoreIntoNewPod();
  ASSERT_FALSE(elsewhere);
  EXPECT_EQ(elsewhere.error().code(), Code::kUnsupported);
  EXPECT_THAT(elsewhere.error().message(), HasSubstr("/opt, which on this node"));
}

TEST_F(ScratchTest, AFullDiskIsSeenBeforeAnythingIsWritten) {
  private_paths_ = {"/opt"};
  MakePod();
  Run("head -c 3000000 /dev/urandom > /opt/file; truncate -s 1G /opt/hole");
  Save();
  const std::string small = directory_ + "/private";
  EndPod();
  ASSERT_EQ(::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=2m,mode=0700"), 0);
  const Status full = RestoreIntoNewPod();
  EXPECT_EQ(Run("ls /opt"), "");
  EndPod();
  ASSERT_EQ(::umount2(small.c_str(), MNT_DETACH), 0);
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code(), Code::kNoSpace);
  EXPECT_THAT(full.error().message(), HasSubstr("the job's files in /opt take 2.9 MiB, and on "));
  const Status fits = RestoreIntoNewPod();
  EXPECT_TRUE(fits) << fits.error().message();
}

TEST(Scratch, KnowsItsPlaces) {
  const PodOptions pod{.private_directories = {{.path = "/scratch", .place = "/disk/0"}}};
  EXPECT_TRUE(IsScratch(pod, "/tmp/x"));
  EXPECT_TRUE(IsScratch(pod, "/tmp"));
  EXPECT_TRUE(IsScratch(pod, "/dev/shm/a/b"));
  EXPECT_TRUE(IsScratch(pod, "/run/holdfast/pod-root"));
  EXPECT_TRUE(IsScratch(pod, "/scratch/a"));
  EXPECT_FALSE(IsScratch(pod, "/tmpfile"));
  EXPECT_FALSE(IsScratch(pod, "/home/tmp/x"));
  EXPECT_FALSE(IsScratch(pod, "/run/holdfast-other"));
  EXPECT_FALSE(IsScratch(pod, "/disk/0/a"));
}

// A piece never goes over an extent of its file, whatever runs there are.
TEST(Scratch, CutsRunsIntoExtents) {
  scratch::Table table;
  const auto add = [&](std::vector<std::pair<uint64_t, uint64_t>> runs) {
    scratch::Entry& entry = *table.add_entries();
    for (const auto& [offset, size] : runs) {
      entry.add_runs()->set_offset(offset);
      entry.mutable_runs()->rbegin()->set_size(size);
    }
  };
  constexpr uint64_t kExtent = storage::kExtentBytes;
  add({});
  add({{0, kExtent}, {2 * kExtent - 5, 10}});
  add({{7, 0}, {kExtent + 1, 2 * kExtent}});
  const ScratchPieces pieces(table);
  std::vector<std::tuple<size_t, uint64_t, uint64_t>> found;
  for (size_t i = 0; i < pieces.count(); ++i) {
    const ScratchPiece piece = pieces.At(i);
    found.emplace_back(piece.entry, piece.offset, piece.size_bytes);
  }
  EXPECT_THAT(found,
              ElementsAre(std::tuple(1, 0, kExtent), std::tuple(1, 2 * kExtent - 5, 5),
                          std::tuple(1, 2 * kExtent, 5), std::tuple(2, kExtent + 1, kExtent - 1),
                          std::tuple(2, 2 * kExtent, kExtent), std::tuple(2, 3 * kExtent, 1)));
  EXPECT_EQ(pieces.size_bytes(), 3 * kExtent + 10);
}

}  // namespace
}  // namespace holdfast::warden
