// Reads real processes while they run: needs root and CRIU.
#include "warden/memory/precopy_memory.h"

#include <sys/mman.h>

#include "criu_fixture.h"
#include "warden/memory/live_memory.h"
#include "warden/memory/userfault.h"

namespace holdfast::warden {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using std::chrono::system_clock;

constexpr uint64_t kMemoryBytes = 96 << 20;

class PrecopyMemoryTest : public CriuTest {
 protected:
  void SetUp() override {
    CriuTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    store_directory_ = user_directory() + "/store";
    ASSERT_TRUE(MakeDirectories(store_directory_, 0700));
    ASSERT_EQ(::chown(store_directory_.c_str(), kUser, kUser), 0);
    auto store = storage::JobStore::Open(store_directory_, {.id = 1},
                                         {.uid = kUser, .gid = kUser, .groups = {kUser}},
                                         storage::SiteKey{});
    ASSERT_TRUE(store) << store.error().message();
    store_ = std::move(*store);
    ASSERT_TRUE(store_->Prepare());
    MakePod();
    // Changes the first tenth of its memory when it is told to, and prints a digest of all of it.
    StartRoot(
        "exec python3 -c '\n"
        "import hashlib, os, time\n"
        "memory = bytearray(os.urandom(" +
        std::to_string(kMemoryBytes) +
        "))\n"
        "step = 0\n"
        "while True:\n"
        "  digest = hashlib.sha256(memory).hexdigest()\n"
        "  open(\"/tmp/step\", \"w\").write(\"%d %s.\" % (step, digest))\n"
        "  while not os.path.exists(\"/tmp/go%d\" % step): time.sleep(0.02)\n"
        "  if hashlib.sha256(memory).hexdigest() != digest: open(\"/tmp/wrong\", \"w\")\n"
        "  memory[:len(memory) // 10] = os.urandom(len(memory) // 10)\n"
        "  step += 1'\n");
    ASSERT_TRUE(Sees("/tmp/step", "0 ", 60));
    ASSERT_TRUE(Sees("/tmp/step", "."));
  }

  std::unique_ptr<storage::PodWriter> Writer(uint32_t checkpoint) {
    auto writer = store_->Write(checkpoint, 0, {});
    EXPECT_TRUE(writer) << writer.error().message();
    return std::move(*writer);
  }
  void Go(int step) {
    const auto root = OpenPodRoot(*pod_);
    ASSERT_TRUE(root);
    const auto go = OpenInPod(*root, "/tmp/go" + std::to_string(step), O_WRONLY | O_CREAT);
    ASSERT_TRUE(go && ::fchown(go->get(), kUser, kUser) == 0);
    ASSERT_TRUE(Sees("/tmp/step", std::to_string(step + 1) + " "));
    ASSERT_TRUE(Sees("/tmp/step", "."));
    const auto wrong = OpenInPod(*root, "/tmp/wrong", O_RDONLY);
    EXPECT_FALSE(wrong) << "its memory was not what it had been";
  }
  // A whole checkpoint. The events tell what was read.
  void Checkpoint(uint32_t number) {
    const auto writer = Writer(number);
    SaveOptions options = Saving();
    options.tracking = &tracking_;
    options.checkpoint = number;
    events_.clear();
    const auto frozen = FrozenPod::Save(*pod_, *writer, options, Events());
    ASSERT_TRUE(frozen) << frozen.error().message();
    const auto part = writer->Finish();
    ASSERT_TRUE(part) << part.error().message();
    manifest_ = {.job = {.id = 1}, .checkpoint = number, .uid = kUser, .gid = kUser};
    manifest_.hostnames = {"pod3"};
    manifest_.parts = {*part};
    ASSERT_TRUE(store_->Commit(manifest_));
    const Status resumed = (*frozen)->Resume();
    ASSERT_TRUE(resumed) << resumed.error().message();
  }
  // In MiB, of the last checkpoint.
  double Unwritten() const {
    const size_t end = events_.find(" MiB of it not written since");
    if (end == std::string::npos) return 0;
    return std::atof(events_.substr(events_.rfind(' ', end - 1) + 1).c_str());
  }
  // The newest checkpoint in a new pod.
  void RestorePod() {
    ASSERT_TRUE(pod_->Kill());
    MakePod();
    auto reader = store_->Read(manifest_, 0);
    ASSERT_TRUE(reader) << reader.error().message();
    const auto held = HeldPod::Restore(*pod_, **reader,
                                       {.criu = "criu",
                                        .criu_preload = HOLDFAST_TEST_CRIU_RESTORE_PRELOAD,
                                        .log_directory = directory_ + "/log",
                                        .work_directory = directory_ + "/work",
                                        .timeout = seconds(60)},
                                       Events());
    ASSERT_TRUE(held) << held.error().message();
    ASSERT_TRUE((*held)->Resume());
  }
  std::vector<std::string> Packs() const {
    return ListDirectory(store_directory_ + "/1/packs").value_or(std::vector<std::string>{});
  }

  std::string store_directory_;
  std::unique_ptr<storage::JobStore> store_;
  storage::Manifest manifest_;
  WriteTracking tracking_{/*verify=*/true};
};

TEST_F(PrecopyMemoryTest, TheFreezeStoresOnlyWhatHasChangedSince) {
  const auto writer = Writer(1);
  const auto copied = PrecopyMemory(*pod_, *writer, {.threads = 2}, {});
  ASSERT_TRUE(copied) << copied.error().message();
  EXPECT_TRUE(copied->complete);
  EXPECT_GE(copied->read_bytes, kMemoryBytes);
  EXPECT_GT(copied->cpu_time.count(), 0);
  EXPECT_FALSE(copied->freeze_by);
  ASSERT_TRUE(writer->Flush());
  ASSERT_TRUE(writer->BeginAgain());
  Go(0);
  const std::string digest = ReadInPod("/tmp/step");

  const auto frozen = FrozenPod::Save(*pod_, *writer, Saving(), Events());
  ASSERT_TRUE(frozen) << frozen.error().message();
  const auto part = writer->Finish();
  ASSERT_TRUE(part) << part.error().message();
  EXPECT_GE(writer->precopied().stored_bytes, kMemoryBytes);
  EXPECT_LT(writer->precopied().wasted_bytes, kMemoryBytes / 5);
  EXPECT_LT(part->stored_bytes - writer->precopied().stored_bytes, kMemoryBytes / 5);

  // And it is all there.
  storage::Manifest manifest{.job = {.id = 1}, .checkpoint = 1, .uid = kUser, .gid = kUser};
  manifest.hostnames = {"pod3"};
  manifest.parts = {*part};
  ASSERT_TRUE(store_->Commit(manifest));
  ASSERT_TRUE(pod_->Kill());
  MakePod();
  auto reader = store_->Read(manifest, 0);
  ASSERT_TRUE(reader) << reader.error().message();
  const auto held = HeldPod::Restore(*pod_, **reader,
                                     {.criu = "criu",
                                      .criu_preload = HOLDFAST_TEST_CRIU_RESTORE_PRELOAD,
                                      .log_directory = directory_ + "/log",
                                      .work_directory = directory_ + "/work",
                                      .timeout = seconds(60)},
                                     Events());
  ASSERT_TRUE(held) << held.error().message();
  ASSERT_TRUE((*held)->Resume());
  EXPECT_EQ(ReadInPod("/tmp/step"), digest);
  Go(1);
}

TEST_F(PrecopyMemoryTest, WhatHasNotBeenWrittenSinceTheLastSaveIsNotRead) {
  if (const Status can = CheckWriteTracking(); !can) GTEST_SKIP() << can.error().message();
  constexpr double kMemoryMib = kMemoryBytes >> 20;
  Checkpoint(1);
  EXPECT_EQ(Unwritten(), 0);
  Go(0);
  Checkpoint(2);
  EXPECT_GT(Unwritten(), kMemoryMib * 0.8);
  EXPECT_LT(Unwritten(), kMemoryMib);
  // Nothing of it is in the process.
  const auto descriptors =
      ListDirectory(pod_->proc_path() + "/" + std::to_string(pod_->root_pid()) + "/fd");
  ASSERT_TRUE(descriptors);
  for (const std::string& number : *descriptors)
    EXPECT_EQ(ReadLink(pod_->proc_path() + "/" + std::to_string(pod_->root_pid()) + "/fd/" + number)
                  .value_or("")
                  .find("userfaultfd"),
              std::string::npos);
  Go(1);
  // Ahead of the next one, only what has been written is read.
  {
    const auto writer = Writer(3);
    const auto copied = PrecopyMemory(*pod_, *writer, {.threads = 2}, {}, &tracking_);
    ASSERT_TRUE(copied) << copied.error().message();
    EXPECT_TRUE(copied->complete);
    EXPECT_LT(copied->read_bytes, kMemoryBytes / 3);
  }
  Checkpoint(3);
  EXPECT_GT(Unwritten(), kMemoryMib * 0.8);
  const std::string digest = ReadInPod("/tmp/step");
  RestorePod();
  EXPECT_EQ(ReadInPod("/tmp/step"), digest);
  Go(2);
  Checkpoint(4);
  EXPECT_EQ(Unwritten(), 0) << "another pod's processes";
  Go(3);
}

TEST_F(PrecopyMemoryTest, ASaveThatCameToNothingIsNotReliedOn) {
  if (const Status can = CheckWriteTracking(); !can) GTEST_SKIP() << can.error().message();
  Checkpoint(1);
  {
    const auto writer = Writer(2);
    SaveOptions options = Saving();
    options.tracking = &tracking_;
    options.checkpoint = 2;
    const auto frozen = FrozenPod::Save(*pod_, *writer, options, Events());
    ASSERT_TRUE(frozen) << frozen.error().message();
    ASSERT_TRUE((*frozen)->Resume());
  }
  Go(0);
  Checkpoint(3);
  EXPECT_EQ(Unwritten(), 0);
  Checkpoint(4);
  EXPECT_GT(Unwritten(), 0);
}

TEST_F(PrecopyMemoryTest, StopsAtOnceAndLeavesNothing) {
  {
    const auto writer = Writer(1);
    std::stop_source stop;
    const auto begin = steady_clock::now();
    Result<PrecopyResult> copied = Fail(Code::kInternal, "not run");
    std::thread copying([&] {
      // So slow that it would take minutes.
      copied = PrecopyMemory(*pod_, *writer, {.threads = 2, .bytes_per_second = 1 << 20},
                             stop.get_token());
    });
    std::this_thread::sleep_for(milliseconds(1000));
    stop.request_stop();
    copying.join();
    EXPECT_LT(steady_clock::now() - begin, seconds(5));
    ASSERT_TRUE(copied) << copied.error().message();
    EXPECT_FALSE(copied->complete);
    EXPECT_GT(copied->read_bytes, 0u);
    EXPECT_LT(copied->read_bytes, kMemoryBytes / 2);
  }
  EXPECT_EQ(Packs(), std::vector<std::string>{});
}

TEST_F(PrecopyMemoryTest, KeepsToItsShareOfTheCores) {
  const auto writer = Writer(1);
  const auto begin = steady_clock::now();
  const auto copied = PrecopyMemory(*pod_, *writer, {.threads = 1, .cores = 0.2}, {});
  const std::chrono::nanoseconds elapsed = steady_clock::now() - begin;
  ASSERT_TRUE(copied) << copied.error().message();
  EXPECT_GE(elapsed, copied->cpu_time * 4);
}

TEST_F(PrecopyMemoryTest, StopsInTimeForTheDeadline) {
  const auto writer = Writer(1);
  const auto soon = PrecopyMemory(*pod_, *writer,
                                  {.threads = 2, .deadline = system_clock::now() + seconds(2)}, {});
  ASSERT_TRUE(soon) << soon.error().message();
  EXPECT_FALSE(soon->complete);
  EXPECT_EQ(soon->read_bytes, 0u);
  ASSERT_TRUE(soon->freeze_by);
  EXPECT_LT(*soon->freeze_by, system_clock::now());

  const auto later = PrecopyMemory(
      *pod_, *writer, {.threads = 2, .deadline = system_clock::now() + seconds(300)}, {});
  ASSERT_TRUE(later) << later.error().message();
  EXPECT_TRUE(later->complete);
  ASSERT_TRUE(later->freeze_by);
  EXPECT_GT(*later->freeze_by, system_clock::now() + seconds(60));
}

TEST_F(PrecopyMemoryTest, AFullStoreIsAnError) {
  FakeWriter writer(checkpoint_);
  writer.FailPuts();
  const auto copied = PrecopyMemory(*pod_, writer, {.threads = 2}, {});
  ASSERT_FALSE(copied);
  EXPECT_EQ(copied.error().code(), Code::kNoSpace);
}

TEST_F(PrecopyMemoryTest, AProcessThatIsGoneHasNoMemory) {
  const auto memory = LiveMemory::Open(pod_->proc_path(), pod_->root_pid());
  ASSERT_TRUE(memory);
  const auto pages = memory->Scan();
  ASSERT_TRUE(pages);
  ASSERT_FALSE(pages->entries.empty());
  std::array<std::byte, 4096> page;
  EXPECT_TRUE(memory->Read(pages->entries[0].vaddr(), page));
  ASSERT_TRUE(pod_->Kill());
  EXPECT_FALSE(memory->Read(pages->entries[0].vaddr(), page));
  EXPECT_FALSE(LiveMemory::Open(pod_->proc_path(), pod_->root_pid()));
}

TEST(LiveMemory, AReservedTerabyteHasNoPages) {
  constexpr size_t kReserved = size_t{1} << 40;
  void* const reserved =
      ::mmap(nullptr, kReserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(reserved, MAP_FAILED);
  const uint64_t page = PageBytes();
  auto* const used = static_cast<char*>(reserved) + kReserved / 2;
  ASSERT_EQ(::mprotect(used, 3 * page, PROT_READ | PROT_WRITE), 0);
  used[0] = used[2 * page] = 1;
  [[maybe_unused]] const char read = *const_cast<volatile char*>(used + page);  // the zero page
  const auto memory = LiveMemory::Open("/proc", ::getpid());
  ASSERT_TRUE(memory);
  const auto pages = memory->Scan();
  ASSERT_TRUE(pages);
  std::vector<std::pair<uint64_t, uint64_t>> found;
  const auto begin = reinterpret_cast<uint64_t>(reserved);
  for (const image::pagemap_entry& entry : pages->entries)
    if (entry.vaddr() >= begin && entry.vaddr() < begin + kReserved)
      found.emplace_back(entry.vaddr() - begin - kReserved / 2, entry.nr_pages());
  EXPECT_EQ(found, (std::vector<std::pair<uint64_t, uint64_t>>{{0, 1}, {2 * page, 1}}));
  ::munmap(reserved, kReserved);
}

}  // namespace
}  // namespace holdfast::warden
