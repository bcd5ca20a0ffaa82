// The back end against the fake server and its faults. What every back end must do is in
// tests/contract/.
#include "storage/gcs/gcs_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <random>
#include <thread>

#include "base/files.h"
#include "tests/fakes/gcs_server.h"
#include "tests/fakes/metadata_server.h"

namespace holdfast::storage::gcs {
namespace {

using fakes::GcsServer;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;
using namespace std::chrono_literals;

constexpr size_t kKiB = 1024;

std::string RandomData(size_t size, unsigned seed = 1) {
  std::mt19937_64 random(seed);
  std::string data(size, '\0');
  for (size_t i = 0; i + 8 <= size; i += 8) {
    const uint64_t word = random();
    std::memcpy(data.data() + i, &word, 8);
  }
  return data;
}

class GcsBackendTest : public testing::Test {
 protected:
  GcsBackendTest() { ::setenv("STORAGE_EMULATOR_HOST", server_.url().c_str(), 1); }
  ~GcsBackendTest() override { ::unsetenv("STORAGE_EMULATOR_HOST"); }

  // Small requests, so that small objects take several.
  std::unique_ptr<Backend> Make(std::chrono::seconds patience = 20s,
                                const std::string& url = "gs://bucket/some/prefix") {
    auto backend = MakeGcsBackend(url, "4242",
                                  {.patience = patience,
                                   .stall_timeout = 1s,
                                   .chunk_bytes = 512 * kKiB,
                                   .read_bytes = 256 * kKiB});
    EXPECT_TRUE(backend) << backend.error().message();
    return std::move(*backend);
  }

  static Status Write(Backend& backend, const std::string& key, const std::string& data,
                      size_t piece = 100 * kKiB) {
    HOLDFAST_TRY(const auto writer, backend.Create(key));
    for (size_t at = 0; at < data.size(); at += piece)
      HOLDFAST_CHECK(writer->Append(AsBytes(std::string_view(data).substr(at, piece))));
    return writer->Finish();
  }

  static Result<std::string> Read(Backend& backend, const std::string& key) {
    HOLDFAST_TRY(const auto reader, backend.Open(key));
    std::string data(reader->size_bytes(), '\0');
    HOLDFAST_CHECK(reader->ReadAt(0, std::as_writable_bytes(std::span(data))));
    return data;
  }

  std::optional<std::string> Stored(const std::string& key) {
    return server_.Contents("bucket", "some/prefix/4242/" + key);
  }

  // Writes 3 MiB under faults, which must not be noticed by anybody.
  void ExpectWriteSurvives(const GcsServer::Faults& faults) {
    server_.SetFaults(faults);
    const auto backend = Make();
    const std::string data = RandomData(3 * 1024 * kKiB + 5);
    const auto written = Write(*backend, "packs/000001-0-0.pack", data);
    ASSERT_TRUE(written) << written.error().message();
    EXPECT_EQ(Stored("packs/000001-0-0.pack"), data);
  }

  GcsServer server_;
};

TEST_F(GcsBackendTest, SendsSmallObjectsInOneRequest) {
  const auto backend = Make();
  ASSERT_TRUE(Write(*backend, "k", "contents"));
  EXPECT_EQ(Stored("k"), "contents");
  EXPECT_THAT(server_.log(), SizeIs(1));
  EXPECT_EQ(server_.stats().sessions, 0u);
  EXPECT_EQ(backend->Describe("k"), "gs://bucket/some/prefix/4242/k");
}

TEST_F(GcsBackendTest, SendsLargeObjectsInChunks) {
  const auto backend = Make();
  for (const size_t size : {512 * kKiB, 512 * kKiB + 1, 1024 * kKiB, 1700 * kKiB + 3}) {
    const std::string key = "o" + std::to_string(size);
    const std::string data = RandomData(size);
    const auto written = Write(*backend, key, data);
    ASSERT_TRUE(written) << written.error().message();
    EXPECT_EQ(Stored(key), data);
    const auto read = Read(*backend, key);
    ASSERT_TRUE(read) << read.error().message();
    EXPECT_EQ(*read, data);
  }
  EXPECT_EQ(server_.stats().sessions, 3u);
  EXPECT_EQ(server_.stats().open_sessions, 0u);
}

TEST_F(GcsBackendTest, CancelsTheSessionOfAWriterThatIsGivenUp) {
  const auto backend = Make();
  {
    const auto writer = *backend->Create("k");
    const std::string data = RandomData(1200 * kKiB);
    ASSERT_TRUE(writer->Append(AsBytes(data)));
  }
  EXPECT_EQ(Stored("k"), std::nullopt);
  EXPECT_EQ(server_.stats().sessions, 1u);
  EXPECT_EQ(server_.stats().open_sessions, 0u);
}

TEST_F(GcsBackendTest, UploadsSurviveDroppedConnections) {
  ExpectWriteSurvives({.drop_upload_every = 700 * kKiB});
  EXPECT_GE(server_.stats().drops, 4u);
}

TEST_F(GcsBackendTest, UploadsSurviveDropsThatLoseWhatWasSent) {
  ExpectWriteSurvives({.drop_upload_every = 900 * kKiB, .lag_bytes = 300 * kKiB});
}

TEST_F(GcsBackendTest, UploadsSurviveBurstsOfErrors) {
  ExpectWriteSurvives({.failures = {{.match = "uploadType=resumable", .status = 503, .count = 3},
                                    {.match = "PUT", .status = 429, .count = 2},
                                    {.match = "PUT", .status = 500, .count = 2},
                                    {.match = "PUT", .status = 408, .count = 1}}});
}

TEST_F(GcsBackendTest, UploadsSurviveALostLastAnswer) {
  ExpectWriteSurvives({.lose_answers = 1});
  EXPECT_EQ(server_.stats().objects_created, 1u);
}

TEST_F(GcsBackendTest, SmallObjectsSurviveALostAnswer) {
  // The second request meets the object that the first one made.
  server_.SetFaults({.lose_answers = 1});
  const auto backend = Make();
  const auto put = backend->PutIfAbsent("manifest", AsBytes("mine"));
  ASSERT_TRUE(put) << put.error().message();
  EXPECT_EQ(Stored("manifest"), "mine");
  EXPECT_EQ(server_.stats().objects_created, 1u);
  const auto again = backend->PutIfAbsent("manifest", AsBytes("mine"));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), Code::kConflict);
}

TEST_F(GcsBackendTest, AStalledUploadIsTriedAgain) { ExpectWriteSurvives({.stall_uploads = 1}); }

TEST_F(GcsBackendTest, AnExpiredSessionStartsAgainWhileAllItsDataIsHere) {
  // The session is gone when its first chunk comes.
  server_.SetFaults({.failures = {{.match = "PUT", .status = 410, .count = 1}}});
  const auto backend = Make();
  const std::string data = RandomData(1200 * kKiB);
  const auto written = Write(*backend, "k", data);
  ASSERT_TRUE(written) << written.error().message();
  EXPECT_EQ(Stored("k"), data);
  EXPECT_EQ(server_.stats().sessions, 2u);
}

TEST_F(GcsBackendTest, ASessionThatExpiresLaterIsAnErrorThatMayBeTriedAgain) {
  const auto backend = Make();
  const auto writer = *backend->Create("k");
  const std::string data = RandomData(1100 * kKiB);
  ASSERT_TRUE(writer->Append(AsBytes(data)));
  std::this_thread::sleep_for(200ms);  // until the first chunk is committed
  server_.SetFaults({.expire_sessions = true});
  Status status = writer->Append(AsBytes(data));
  if (status) status = writer->Finish();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), Code::kUnavailable);
  EXPECT_THAT(status.error().message(), HasSubstr("written again"));
  EXPECT_EQ(Stored("k"), std::nullopt);
}

TEST_F(GcsBackendTest, DamageOnTheWayUpIsNoticedAndLeavesNothing) {
  const auto backend = Make();
  for (const size_t size : {10 * kKiB, 1200 * kKiB}) {
    server_.SetFaults({.damage_uploads = 1});
    const auto written = Write(*backend, "k", RandomData(size));
    ASSERT_FALSE(written);
    EXPECT_THAT(written.error().message(), HasSubstr("crc32c"));
    EXPECT_EQ(Stored("k"), std::nullopt);
  }
}

TEST_F(GcsBackendTest, DownloadsSurviveTruncatedAnswersAndErrors) {
  const auto backend = Make();
  const std::string data = RandomData(1500 * kKiB);
  ASSERT_TRUE(Write(*backend, "k", data));
  server_.SetFaults({.cut_download_at = 100 * kKiB,
                     .cut_downloads = 5,
                     .failures = {{.match = "alt=media", .status = 503, .count = 3}}});
  const auto read = Read(*backend, "k");
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(*read, data);
}

TEST_F(GcsBackendTest, DamageOnTheWayDownIsNoticed) {
  const auto backend = Make();
  for (const size_t size : {10 * kKiB, 1500 * kKiB}) {
    const std::string key = "o" + std::to_string(size);
    ASSERT_TRUE(Write(*backend, key, RandomData(size)));
    server_.SetFaults({.damage_downloads = 1});
    const auto damaged = Read(*backend, key);
    ASSERT_FALSE(damaged);
    EXPECT_EQ(damaged.error().code(), Code::kCorrupt);
    EXPECT_TRUE(Read(*backend, key));
  }
}

TEST_F(GcsBackendTest, SmallReadsInOrderShareRequests) {
  const auto backend = Make();
  const std::string data = RandomData(2048 * kKiB);
  ASSERT_TRUE(Write(*backend, "k", data));
  const size_t before = server_.log().size();
  const auto reader = *backend->Open("k");
  std::string piece(1000, '\0');
  for (size_t at = 0; at + piece.size() <= data.size(); at += piece.size()) {
    ASSERT_TRUE(reader->ReadAt(at, std::as_writable_bytes(std::span(piece))));
    ASSERT_EQ(piece, data.substr(at, piece.size()));
  }
  EXPECT_EQ(server_.log().size() - before, 1 + 8u);
}

TEST_F(GcsBackendTest, ReadersInManyThreadsAgree) {
  const auto backend = Make();
  const std::string data = RandomData(4096 * kKiB);
  ASSERT_TRUE(Write(*backend, "k", data));
  const auto reader = *backend->Open("k");
  std::vector<std::jthread> threads;
  for (unsigned t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 100; ++i) {
        const size_t at = random() % data.size();
        std::string piece(std::min<size_t>(random() % 600000, data.size() - at), '\0');
        EXPECT_TRUE(reader->ReadAt(at, std::as_writable_bytes(std::span(piece))));
        EXPECT_EQ(piece, data.substr(at, piece.size()));
      }
    });
}

TEST_F(GcsBackendTest, AReaderNeverMixesGenerations) {
  const auto backend = Make();
  ASSERT_TRUE(Write(*backend, "k", RandomData(600 * kKiB, 1)));
  const auto reader = *backend->Open("k");
  ASSERT_TRUE(backend->Delete("k"));
  ASSERT_TRUE(Write(*backend, "k", RandomData(600 * kKiB, 2)));
  std::array<std::byte, 10> piece;
  const auto read = reader->ReadAt(0, piece);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code(), Code::kNotFound);
}

TEST_F(GcsBackendTest, ListsAllPagesAndOnlyItsOwnJob) {
  GcsServer small({.page_objects = 3});
  ::setenv("STORAGE_EMULATOR_HOST", small.url().c_str(), 1);
  const auto backend = Make();
  auto other = MakeGcsBackend("gs://bucket/some/prefix", "42", {});
  for (int i = 0; i < 8; ++i)
    ASSERT_TRUE(backend->PutIfAbsent("parts/" + std::to_string(i), AsBytes("xy")));
  ASSERT_TRUE((*other)->PutIfAbsent("parts/9", AsBytes("x")));
  const auto listed = backend->List("parts/");
  ASSERT_TRUE(listed) << listed.error().message();
  ASSERT_THAT(*listed, SizeIs(8));
  EXPECT_EQ((*listed)[7].key, "parts/7");
  EXPECT_EQ((*listed)[7].size_bytes, 2u);
  EXPECT_THAT(*(*other)->List(""), SizeIs(1));
  const size_t asked = small.log().size();
  EXPECT_THAT(backend->Beside("42").value(), testing::ElementsAre("42", "4242"));
  EXPECT_EQ(small.log().size(), asked + 1) << "not a page for each three objects";
}

TEST_F(GcsBackendTest, ARefusedTokenIsRenewedOnce) {
  fakes::MetadataServer metadata(fakes::Cloud::kGce);
  metadata.SetToken("old", 3600s);
  ::unsetenv("STORAGE_EMULATOR_HOST");
  server_.SetTokens({"old"});
  auto made = MakeGcsBackend("gs://bucket/p", "1",
                             {.endpoint = server_.url(), .metadata_url = metadata.url()});
  ASSERT_TRUE(made);
  ASSERT_TRUE((*made)->PutIfAbsent("a", AsBytes("x")));
  server_.SetTokens({"new"});
  metadata.SetToken("new", 3600s);
  ASSERT_TRUE((*made)->PutIfAbsent("b", AsBytes("x")));
  // And when that does not help, it says so, without the token.
  server_.SetTokens({"unknown"});
  const auto refused = (*made)->PutIfAbsent("c", AsBytes("x"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kDenied);
  EXPECT_THAT(refused.error().message(),
              AllOf(HasSubstr("writing gs://bucket/p/1/c"), HasSubstr("401"), HasSubstr("clock"),
                    Not(HasSubstr("new"))));
}

TEST_F(GcsBackendTest, SaysWhatToDoAboutRefusals) {
  const auto backend = Make();
  server_.SetFaults({.failures = {{.match = "POST", .status = 403}}});
  auto status = backend->PutIfAbsent("k", AsBytes("x"));
  EXPECT_EQ(status.error().code(), Code::kDenied);
  EXPECT_THAT(status.error().message(), HasSubstr("roles/storage.objectUser on bucket bucket"));
  const auto elsewhere = Make(20s, "gs://no-such-bucket/x");
  status = elsewhere->Prepare();
  EXPECT_EQ(status.error().code(), Code::kNotFound);
  EXPECT_THAT(status.error().message(), HasSubstr("no-such-bucket exists"));
  // Not an empty list: that would look like a job without checkpoints.
  EXPECT_FALSE(elsewhere->List(""));
}

TEST_F(GcsBackendTest, GivesUpWhenPatienceEnds) {
  const auto backend = Make(2s);
  server_.SetFaults({.failures = {{.match = "", .status = 503, .count = 1000}}});
  const auto start = std::chrono::steady_clock::now();
  const auto status = backend->PutIfAbsent("k", AsBytes("x"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, 10s);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), Code::kUnavailable);
  EXPECT_THAT(status.error().message(), HasSubstr("2 s without progress"));
}

TEST_F(GcsBackendTest, SaysWhatTheServerSaidThoughTheLastAttemptWasCutOff) {
  const auto backend = Make(2s);
  server_.SetFaults(
      {.latency_ms = 1200, .failures = {{.match = "", .status = 503, .count = 1000}}});
  const auto status = backend->PutIfAbsent("k", AsBytes("x"));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), Code::kUnavailable);
  EXPECT_THAT(status.error().message(), HasSubstr("503"));
}

TEST_F(GcsBackendTest, TriesAgainWithinTheDeadlineOfANotice) {
  const auto backend = Make(20s);
  backend->SetDeadline(std::chrono::steady_clock::now() + 4s);
  server_.SetFaults({.failures = {{.match = "", .status = 503, .count = 6}}});
  EXPECT_TRUE(backend->PutIfAbsent("six", AsBytes("x"))) << "short pauses while there is time";

  backend->SetDeadline(std::chrono::steady_clock::now() + 1s);
  server_.SetFaults({.failures = {{.match = "", .status = 503, .count = 1000}}});
  const auto start = std::chrono::steady_clock::now();
  const auto status = backend->PutIfAbsent("k", AsBytes("x"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, 10s);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), Code::kUnavailable);
  EXPECT_THAT(status.error().message(), HasSubstr("tried until the notice was over"));

  // The node is still there after all.
  server_.SetFaults({.failures = {{.match = "", .status = 503, .count = 2}}});
  EXPECT_TRUE(backend->PutIfAbsent("k", AsBytes("x")));
}

TEST_F(GcsBackendTest, PreparesByTryingWhatItWillNeed) {
  const auto backend = Make();
  ASSERT_TRUE(backend->Prepare());
  EXPECT_THAT(*backend->List(""), SizeIs(0));
  server_.SetFaults({.failures = {{.match = "DELETE", .status = 403}}});
  EXPECT_EQ(backend->Prepare().error().code(), Code::kDenied);
}

TEST(GcsLocationTest, TakesUrlsApart) {
  const auto location = ParseLocation("gs://my-bucket/a/b=c/");
  ASSERT_TRUE(location);
  EXPECT_EQ(location->bucket, "my-bucket");
  EXPECT_EQ(location->prefix, "a/b=c");
  EXPECT_EQ(ParseLocation("gs://my-bucket")->prefix, "");
  for (const char* bad :
       {"gs://", "gs://ab", "/path", "s3://bucket/x", "gs://bucket//x", "gs://bucket/a//b",
        "gs://bucket/a?b", "gs://bu cket/a", "gs://bucket/a\nb"})
    EXPECT_FALSE(ParseLocation(bad)) << bad;
}

}  // namespace
}  // namespace holdfast::storage::gcs
