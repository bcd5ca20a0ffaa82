#include "storage/s3/credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/files.h"
#include "tests/fakes/metadata_server.h"

namespace holdfast::storage::s3 {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kFile =
    "# keys\n[default]\naws_access_key_id = AKID1\naws_secret_access_key=secret/1+=\n\n"
    "[ other ]\r\naws_access_key_id=AKID2\r\naws_secret_access_key=s2\r\naws_session_token=t2\r\n"
    "[half]\naws_access_key_id=AKID3\n";

class CredentialsTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/holdfast-s3-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
    path_ = directory_ + "/credentials";
    ASSERT_TRUE(WriteFile(path_, kFile, 0400));
  }
  void TearDown() override {
    EXPECT_TRUE(RemoveTree(directory_));
    for (const char* name : {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
                             "AWS_SHARED_CREDENTIALS_FILE"})
      ::unsetenv(name);
  }
  std::string IdOf(const Settings& settings) {
    const auto found = FindCredentials(settings, client_);
    if (!found) return found.error().message();
    const auto key = (*found)->Get();
    return key ? key->id : key.error().message();
  }

  std::string directory_, path_;
  http::Client client_;
};

TEST_F(CredentialsTest, FilesHaveProfiles) {
  const auto first = ParseCredentials(kFile, "default"), other = ParseCredentials(kFile, "other");
  ASSERT_TRUE(first && other);
  EXPECT_EQ(*first, (AccessKey{.id = "AKID1", .secret = "secret/1+="}));
  EXPECT_EQ(*other, (AccessKey{.id = "AKID2", .secret = "s2", .session_token = "t2"}));
  EXPECT_EQ(ParseCredentials(kFile, "none").error().code(), Code::kNotFound);
  EXPECT_THAT(ParseCredentials(kFile, "half").error().message(),
              HasSubstr("aws_secret_access_key"));
}

TEST_F(CredentialsTest, TheConfiguredFileComesFirstThenTheEnvironment) {
  fakes::MetadataServer metadata(fakes::Cloud::kAws);
  EXPECT_EQ(IdOf({.metadata_url = metadata.url()}), "ASIANODES");
  ::setenv("AWS_SHARED_CREDENTIALS_FILE", path_.c_str(), 1);
  EXPECT_EQ(IdOf({}), "AKID1");
  ::setenv("AWS_ACCESS_KEY_ID", "AKIDENV", 1);
  ::setenv("AWS_SECRET_ACCESS_KEY", "x", 1);
  EXPECT_EQ(IdOf({}), "AKIDENV");
  EXPECT_EQ(IdOf({.credentials_file = path_, .profile = "other"}), "AKID2");
}

TEST_F(CredentialsTest, AFileThatOthersMayReadIsRefused) {
  ASSERT_EQ(::chmod(path_.c_str(), 0444), 0);
  const auto found = FindCredentials({.credentials_file = path_}, client_);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), Code::kDenied);
  EXPECT_THAT(found.error().message(), HasSubstr("chmod it to 0400"));
}

TEST_F(CredentialsTest, AMachinesRoleIsAskedForWithASessionToken) {
  fakes::MetadataServer metadata(fakes::Cloud::kAws);
  metadata.SetToken("session", std::chrono::seconds(1800));
  metadata.FailNext(2);
  const auto key = FetchFromMetadata(metadata.url(), client_);
  ASSERT_TRUE(key) << key.error().message();
  EXPECT_EQ(key->value, (AccessKey{"ASIANODES", "secret-of-nodes", "session"}));
  EXPECT_NEAR(static_cast<double>(key->lifetime.count()), 1800, 60);
}

TEST_F(CredentialsTest, AMachineWithoutAMetadataServerIsNotAskedAgain) {
  std::string url;
  {
    fakes::HttpServer server([](fakes::Exchange& exchange) { exchange.Respond(404, {}, ""); });
    url = server.url();
  }  // nobody listens there any more
  const auto key = FetchFromMetadata(url, client_);
  ASSERT_FALSE(key);
  EXPECT_EQ(key.error().code(), Code::kNotFound) << "which nobody tries again";
  EXPECT_THAT(key.error().message(), HasSubstr("cloud.s3_credentials_file"));
}

TEST_F(CredentialsTest, SaysWhatToDoWithoutARole) {
  fakes::HttpServer server([](fakes::Exchange& exchange) { exchange.Respond(404, {}, ""); });
  const auto key = FetchFromMetadata(server.url(), client_);
  ASSERT_FALSE(key);
  EXPECT_THAT(key.error().message(), HasSubstr("cloud.s3_credentials_file"));
}

}  // namespace
}  // namespace holdfast::storage::s3
