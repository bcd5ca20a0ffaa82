// S3 over the fake server, which checks every signature (tests/fakes/s3_signature.h).

#include "storage/s3/s3_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <random>

#include "base/files.h"
#include "tests/fakes/metadata_server.h"
#include "tests/fakes/s3_server.h"

namespace holdfast::storage::s3 {
namespace {

using fakes::S3Server;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;
using namespace std::chrono_literals;

constexpr size_t kKiB = 1024;

std::string RandomData(size_t size) {
  std::minstd_rand random(static_cast<unsigned>(size));
  std::string data(size, '\0');
  for (char& c : data) c = static_cast<char>(random() >> 8);
  return data;
}

class S3BackendTest : public testing::Test {
 protected:
  S3BackendTest() { UseKey("AKIDTEST", "secret-of-test"); }
  ~S3BackendTest() override {
    ::unsetenv("AWS_ACCESS_KEY_ID");
    ::unsetenv("AWS_SECRET_ACCESS_KEY");
  }
  static void UseKey(const char* id, const char* secret) {
    ::setenv("AWS_ACCESS_KEY_ID", id, 1);
    ::setenv("AWS_SECRET_ACCESS_KEY", secret, 1);
  }

  // Small requests, so that small objects take several.
  std::unique_ptr<Backend> Make(std::chrono::seconds patience = 20s,
                                const std::string& url = "s3://bucket/some/prefix=1") {
    auto backend = MakeS3Backend(
        url, "4242",
        {.endpoint = server_.url(),
         .limits = {.patience = patience, .stall_timeout = 1s, .read_bytes = 256 * kKiB},
         .part_bytes = 512 * kKiB});
    EXPECT_TRUE(backend) << backend.error().message();
    return std::move(*backend);
  }
  static Status Write(Backend& backend, const std::string& key, const std::string& data) {
    HOLDFAST_TRY(const auto writer, backend.Create(key));
    for (size_t at = 0; at < data.size(); at += 100 * kKiB)
      HOLDFAST_CHECK(writer->Append(AsBytes(std::string_view(data).substr(at, 100 * kKiB))));
    return writer->Finish();
  }
  static Result<std::string> Read(Backend& backend, const std::string& key) {
    HOLDFAST_TRY(const auto reader, backend.Open(key));
    std::string data(reader->size_bytes(), '\0');
    HOLDFAST_CHECK(reader->ReadAt(0, std::as_writable_bytes(std::span(data))));
    return data;
  }
  std::optional<std::string> Stored(const std::string& key) {
    return server_.Contents("some/prefix=1/4242/" + key);
  }
  // Writes and reads 1.3 MiB under faults, which must not be noticed by anybody.
  void ExpectSurvives(const S3Server::Faults& faults) {
    server_.SetFaults(faults);
    const auto backend = Make();
    const std::string data = RandomData(1300 * kKiB + 5);
    const auto written = Write(*backend, "packs/1", data);
    ASSERT_TRUE(written) << written.error().message();
    EXPECT_EQ(Stored("packs/1"), data);
    const auto read = Read(*backend, "packs/1");
    ASSERT_TRUE(read) << read.error().message();
    EXPECT_EQ(*read, data);
    EXPECT_EQ(server_.open_uploads(), 0u);
  }

  S3Server server_{{.page_keys = 2, .min_part_bytes = 512 * kKiB}};
};

TEST_F(S3BackendTest, SmallObjectsGoInOneRequestLargeOnesInParts) {
  const auto backend = Make();
  ASSERT_TRUE(Write(*backend, "k", "contents"));
  EXPECT_EQ(Stored("k"), "contents");
  EXPECT_THAT(server_.log(), SizeIs(1));
  EXPECT_EQ(backend->Describe("k"), "s3://bucket/some/prefix=1/4242/k");
  for (const size_t size : {512 * kKiB, 512 * kKiB + 1, 1024 * kKiB, 1700 * kKiB + 3}) {
    const std::string key = "o" + std::to_string(size), data = RandomData(size);
    const auto written = Write(*backend, key, data);
    ASSERT_TRUE(written) << written.error().message();
    const auto read = Read(*backend, key);
    ASSERT_TRUE(read) << read.error().message();
    EXPECT_EQ(*read, data);
  }
}

TEST_F(S3BackendTest, AWriterThatIsGivenUpEndsItsUpload) {
  const auto backend = Make();
  {
    const auto writer = *backend->Create("k");
    const std::string data = RandomData(1200 * kKiB);
    ASSERT_TRUE(writer->Append(AsBytes(data)));
  }
  EXPECT_EQ(server_.open_uploads(), 0u);
  EXPECT_EQ(Stored("k"), std::nullopt);
}

TEST_F(S3BackendTest, SurvivesBurstsOfErrors) {
  ExpectSurvives(
      {.failures = {{.match = "uploads=", .count = 2},
                    {.match = "partNumber=2", .status = 500, .code = "InternalError"},
                    {.match = "partNumber=1", .status = 400, .code = "RequestTimeout"},
                    {.match = "POST", .status = 409, .code = "ConditionalRequestConflict"},
                    {.match = "HEAD", .count = 2},
                    {.match = "GET", .count = 2}}});
}

TEST_F(S3BackendTest, SurvivesBrokenConnections) {
  ExpectSurvives({.break_requests = 3, .cut_downloads = 3});
}

TEST_F(S3BackendTest, SurvivesALostLastAnswer) {
  ExpectSurvives({.lose_answers = 1});
  server_.SetFaults({.lose_answers = 1});
  const auto backend = Make();
  EXPECT_TRUE(backend->PutIfAbsent("manifest", AsBytes("mine")));
  const auto again = backend->PutIfAbsent("manifest", AsBytes("mine"));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), Code::kConflict);
}

TEST_F(S3BackendTest, SurvivesAnErrorThatComesWithStatus200) { ExpectSurvives({.late_errors = 2}); }

TEST_F(S3BackendTest, AnUploadThatIsGoneHasToBeWrittenAgain) {
  const auto backend = Make();
  server_.SetFaults(
      {.failures = {{.match = "partNumber=2", .status = 404, .code = "NoSuchUpload"}}});
  const auto written = Write(*backend, "k", RandomData(1300 * kKiB));
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code(), Code::kUnavailable);
  EXPECT_THAT(written.error().message(), HasSubstr("written again"));
}

TEST_F(S3BackendTest, DamageOnTheWayUpIsNoticed) {
  const auto backend = Make();
  for (const size_t size : {10 * kKiB, 1200 * kKiB}) {
    server_.SetFaults({.damage_stored = 1});
    const auto written = Write(*backend, "k", RandomData(size));
    ASSERT_FALSE(written);
    EXPECT_THAT(written.error().message(), HasSubstr("BadDigest"));
    EXPECT_EQ(Stored("k"), std::nullopt);
  }
}

TEST_F(S3BackendTest, DamageOnTheWayDownIsNoticed) {
  const auto backend = Make();
  for (const size_t size : {10 * kKiB, 1500 * kKiB}) {
    const std::string key = "o" + std::to_string(size);
    ASSERT_TRUE(Write(*backend, key, RandomData(size)));
    server_.SetFaults({.damage_downloads = 1});
    const auto damaged = Read(*backend, key);
    ASSERT_FALSE(damaged) << size;
    EXPECT_EQ(damaged.error().code(), Code::kCorrupt);
    EXPECT_TRUE(Read(*backend, key));
  }
}

TEST_F(S3BackendTest, AReaderNeverMixesVersions) {
  const auto backend = Make();
  ASSERT_TRUE(Write(*backend, "k", RandomData(600 * kKiB)));
  const auto reader = *backend->Open("k");
  ASSERT_TRUE(backend->Delete("k"));
  ASSERT_TRUE(Write(*backend, "k", RandomData(601 * kKiB)));
  std::array<std::byte, 10> piece;
  EXPECT_EQ(reader->ReadAt(0, piece).error().code(), Code::kNotFound);
}

TEST_F(S3BackendTest, ListsAllPagesAndOnlyItsOwnJob) {
  const auto backend = Make();
  for (int i = 0; i < 5; ++i)
    ASSERT_TRUE(backend->PutIfAbsent("parts/" + std::to_string(i), AsBytes("xy")));
  const auto listed = backend->List("parts/");
  ASSERT_TRUE(listed) << listed.error().message();
  ASSERT_THAT(*listed, SizeIs(5));
  EXPECT_EQ((*listed)[4].key, "parts/4");
  EXPECT_EQ((*listed)[4].size_bytes, 2u);
  const size_t asked = server_.log().size();
  EXPECT_THAT(backend->Beside("42").value(), testing::ElementsAre("4242"));
  EXPECT_EQ(server_.log().size(), asked + 1) << "not a page for each two objects";
}

TEST_F(S3BackendTest, SaysWhatToDoAboutRefusals) {
  const auto backend = Make();
  server_.SetFaults({.failures = {{.match = "PUT", .status = 403, .code = "AccessDenied"}}});
  auto status = backend->PutIfAbsent("k", AsBytes("x"));
  EXPECT_EQ(status.error().code(), Code::kDenied);
  EXPECT_EQ(status.error().message(),
            "writing s3://bucket/some/prefix=1/4242/k: HTTP status 403: AccessDenied: Because of "
            "\"AccessDenied\"; grant the access key s3:ListBucket on bucket bucket, and "
            "s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload in it");
  const auto elsewhere = Make(20s, "s3://no-such-bucket/x");
  status = elsewhere->Prepare();
  EXPECT_EQ(status.error().code(), Code::kNotFound);
  EXPECT_THAT(status.error().message(), HasSubstr("no-such-bucket exists"));
  // Not an empty list: that would look like a job without checkpoints.
  EXPECT_FALSE(elsewhere->List(""));
  UseKey("AKIDTEST", "wrong-secret");
  status = Make()->Prepare();
  EXPECT_EQ(status.error().code(), Code::kDenied);
  EXPECT_THAT(status.error().message(),
              AllOf(HasSubstr("SignatureDoesNotMatch"), HasSubstr("check the access key"),
                    Not(HasSubstr("wrong-secret"))));
}

TEST_F(S3BackendTest, GivesUpWhenPatienceEnds) {
  const auto backend = Make(2s);
  server_.SetFaults({.failures = {{.match = "", .count = 1000}}});
  const auto status = backend->PutIfAbsent("k", AsBytes("x"));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), Code::kUnavailable);
  EXPECT_THAT(status.error().message(),
              AllOf(HasSubstr("SlowDown"), HasSubstr("2 s without progress")));
}

TEST_F(S3BackendTest, PreparesByTryingWhatItWillNeed) {
  const auto backend = Make();
  const auto prepared = backend->Prepare();
  ASSERT_TRUE(prepared) << prepared.error().message();
  EXPECT_THAT(*backend->List(""), SizeIs(0));
  server_.SetFaults({.failures = {{.match = "DELETE", .status = 403, .code = "AccessDenied"}}});
  EXPECT_EQ(backend->Prepare().error().code(), Code::kDenied);
}

TEST_F(S3BackendTest, AServerWithoutConditionalWritesIsRefused) {
  for (const auto conditions :
       {S3Server::Conditions::kIgnored, S3Server::Conditions::kNotImplemented}) {
    S3Server lacking({.conditions = conditions});
    const auto backend = MakeS3Backend("s3://bucket/p", "1", {.endpoint = lacking.url()});
    ASSERT_TRUE(backend);
    const auto prepared = (*backend)->Prepare();
    ASSERT_FALSE(prepared);
    EXPECT_EQ(prepared.error().code(), Code::kUnsupported);
    EXPECT_THAT(prepared.error().message(),
                AllOf(HasSubstr("preparing s3://bucket/p/1/"), HasSubstr("no conditional writes"),
                      HasSubstr("use a server that has them")));
    EXPECT_THAT(*(*backend)->List(""), SizeIs(0));
  }
}

TEST_F(S3BackendTest, AServerWithoutChecksumsKeepsOurs) {
  S3Server plain({.checksums = false});
  const auto backend = *MakeS3Backend("s3://bucket/p", "1", {.endpoint = plain.url()});
  ASSERT_TRUE(Write(*backend, "k", "contents"));
  EXPECT_EQ(*Read(*backend, "k"), "contents");
  plain.SetFaults({.damage_downloads = 1});
  EXPECT_EQ(Read(*backend, "k").error().code(), Code::kCorrupt);
}

TEST_F(S3BackendTest, AnotherRegionIsNamed) {
  S3Server frankfurt({.region = "eu-central-1"});
  const auto right =
      *MakeS3Backend("s3://bucket/p", "1", {.endpoint = frankfurt.url(), .region = "eu-central-1"});
  EXPECT_TRUE(right->Prepare());
  const auto wrong = *MakeS3Backend("s3://bucket/p", "1", {.endpoint = frankfurt.url()});
  EXPECT_THAT(wrong->Prepare().error().message(), HasSubstr("set cloud.s3_region"));
}

TEST_F(S3BackendTest, AnExpiredSessionIsRenewed) {
  ::unsetenv("AWS_ACCESS_KEY_ID");
  fakes::MetadataServer metadata(fakes::Cloud::kAws);
  metadata.SetToken("old", 3600s);
  S3Server server({.keys = {{"ASIANODES", "secret-of-nodes"}}, .session_token = "old"});
  const auto backend = *MakeS3Backend("s3://bucket/p", "1",
                                      {.endpoint = server.url(), .metadata_url = metadata.url()});
  ASSERT_TRUE(backend->PutIfAbsent("a", AsBytes("x")));
  server.SetSessionToken("new");
  metadata.SetToken("new", 3600s);
  const auto renewed = backend->PutIfAbsent("b", AsBytes("x"));
  EXPECT_TRUE(renewed) << renewed.error().message();
}

TEST(S3LocationTest, TakesUrlsApart) {
  const auto location = ParseLocation("s3://my-bucket/a/b=c/");
  ASSERT_TRUE(location);
  EXPECT_EQ(location->bucket, "my-bucket");
  EXPECT_EQ(location->prefix, "a/b=c");
  for (const char* bad : {"s3://", "s3://ab", "/path", "gs://bucket/x", "s3://bucket//x"})
    EXPECT_FALSE(ParseLocation(bad)) << bad;
}

}  // namespace
}  // namespace holdfast::storage::s3
