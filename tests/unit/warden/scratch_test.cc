// Moves private files from pod to pod: needs root.
#include "warden/files/scratch.h"

#include "criu_fixture.h"
#include "warden_images/scratch.pb.h"

namespace holdfast::warden {
namespace {

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
    "cd / && find tmp dev/shm run/holdfast -mindepth 1 -printf '%p %y %m %u %g %s %n %T@ %l\\n' | "
    "sort; find tmp dev/shm run/holdfast -type f | sort | xargs sha256sum";

TEST_F(ScratchTest, ComesBackAsItWas) {
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
    chmod 711 /run/holdfast)"),
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

TEST(Scratch, KnowsItsPlaces) {
  EXPECT_TRUE(IsScratch("/tmp/x"));
  EXPECT_TRUE(IsScratch("/tmp"));
  EXPECT_TRUE(IsScratch("/dev/shm/a/b"));
  EXPECT_TRUE(IsScratch("/run/holdfast/pod-root"));
  EXPECT_FALSE(IsScratch("/tmpfile"));
  EXPECT_FALSE(IsScratch("/home/tmp/x"));
  EXPECT_FALSE(IsScratch("/run/holdfast-other"));
}

}  // namespace
}  // namespace holdfast::warden
