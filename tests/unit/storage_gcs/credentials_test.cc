#include "storage/gcs/credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <jwt.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <ctime>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/files.h"
#include "base/process.h"
#include "tests/fakes/http_server.h"
#include "tests/fakes/metadata_server.h"

namespace holdfast::storage::gcs {
namespace {

using fakes::Exchange;
using fakes::HttpServer;
using testing::HasSubstr;
using testing::Not;
using namespace std::chrono_literals;

class FakeSource : public TokenSource {
 public:
  explicit FakeSource(int* fetched, std::chrono::seconds lifetime)
      : fetched_(fetched), lifetime_(lifetime) {}
  Result<Token> Fetch() override {
    if (++*fetched_ > 2) return Fail(Code::kUnavailable, "away");
    return Token{"t" + std::to_string(*fetched_), lifetime_};
  }

 private:
  int* fetched_;
  const std::chrono::seconds lifetime_;
};

TEST(CredentialsTest, KeepsATokenUntilItIsRefused) {
  int fetched = 0;
  Credentials credentials(std::make_unique<FakeSource>(&fetched, 3600s));
  EXPECT_EQ(*credentials.Authorization(), "Bearer t1");
  EXPECT_EQ(*credentials.Authorization(), "Bearer t1");
  credentials.Reject("Bearer older");  // somebody else has fetched a new one meanwhile
  EXPECT_EQ(*credentials.Authorization(), "Bearer t1");
  credentials.Reject("Bearer t1");
  EXPECT_EQ(*credentials.Authorization(), "Bearer t2");
  EXPECT_EQ(fetched, 2);
}

TEST(CredentialsTest, RenewsBeforeTheEndAndBearsAServerThatIsAway) {
  int fetched = 0;
  Credentials credentials(std::make_unique<FakeSource>(&fetched, 4s));
  EXPECT_EQ(*credentials.Authorization(), "Bearer t1");
  std::this_thread::sleep_for(2100ms);
  EXPECT_EQ(*credentials.Authorization(), "Bearer t2");
  std::this_thread::sleep_for(2100ms);
  EXPECT_EQ(*credentials.Authorization(), "Bearer t2");  // not renewed, but still good
  EXPECT_EQ(fetched, 3);
  std::this_thread::sleep_for(2000ms);
  EXPECT_FALSE(credentials.Authorization());
}

TEST(CredentialsTest, ReadsTokensFromTheMetadataServer) {
  fakes::MetadataServer server(fakes::Cloud::kGce);
  server.SetToken("from-metadata", 3600s);
  server.FailNext(2);
  http::Client client;
  const auto token = MetadataTokens(server.url(), client)->Fetch();
  ASSERT_TRUE(token) << token.error().message();
  EXPECT_EQ(token->text, "from-metadata");
  EXPECT_EQ(token->lifetime, 3600s);
}

TEST(CredentialsTest, SaysWhatToDoWithoutAServiceAccount) {
  HttpServer server([](Exchange& exchange) { exchange.Respond(404, {}, ""); });
  http::Client client;
  const auto token = MetadataTokens(server.url(), client)->Fetch();
  ASSERT_FALSE(token);
  EXPECT_THAT(token.error().message(), HasSubstr("cloud.credentials_file"));
}

TEST(CredentialsTest, AMachineWithoutAMetadataServerIsNotAskedAgain) {
  std::string url;
  {
    HttpServer server([](Exchange& exchange) { exchange.Respond(404, {}, ""); });
    url = server.url();
  }  // nobody listens there any more
  http::Client client;
  const auto token = MetadataTokens(url, client)->Fetch();
  ASSERT_FALSE(token);
  EXPECT_EQ(token.error().code(), Code::kNotFound) << "which nobody tries again";
  EXPECT_THAT(token.error().message(), HasSubstr("cloud.credentials_file"));
}

class ServiceAccountTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/holdfast-sa-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
    const std::string key = directory_ + "/key.pem", pub = directory_ + "/pub.pem";
    auto made = RunCommand({.argv = {"openssl", "genrsa", "-out", key, "2048"}}, 30s);
    ASSERT_TRUE(made && made->status.ok());
    made = RunCommand({.argv = {"openssl", "rsa", "-in", key, "-pubout", "-out", pub}}, 30s);
    ASSERT_TRUE(made && made->status.ok());
    private_key_ = *ReadFile(key);
    public_key_ = *ReadFile(pub);
  }
  void TearDown() override {
    EXPECT_TRUE(RemoveTree(directory_));
    ::unsetenv("GOOGLE_APPLICATION_CREDENTIALS");
    ::unsetenv("STORAGE_EMULATOR_HOST");
  }

  // RFC 7523, as Google's token server wants it
  // (https://developers.google.com/identity/protocols/oauth2/service-account).
  void AnswerToken(Exchange& exchange) {
    const std::string body = exchange.ReadWholeBody();
    const size_t at = body.find("&assertion=");
    jwt_t* jwt = nullptr;
    const bool valid =
        body.starts_with("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&") &&
        at != body.npos &&
        jwt_decode(&jwt, body.c_str() + at + 11,
                   reinterpret_cast<const unsigned char*>(public_key_.data()),
                   static_cast<int>(public_key_.size())) == 0 &&
        jwt_get_alg(jwt) == JWT_ALG_RS256 &&
        std::string(jwt_get_grant(jwt, "iss")) == "sa@project" &&
        std::string(jwt_get_grant(jwt, "aud")) == token_uri_ &&
        std::string(jwt_get_grant(jwt, "scope")).contains("devstorage.read_write") &&
        std::string(jwt_get_header(jwt, "kid")) == "kid1" &&
        jwt_get_grant_int(jwt, "exp") - jwt_get_grant_int(jwt, "iat") <= 3600 &&
        std::abs(jwt_get_grant_int(jwt, "iat") - std::time(nullptr)) < 60;
    jwt_free(jwt);
    if (valid)
      exchange.Respond(200, {}, R"({"access_token":"minted","expires_in":3599})");
    else
      exchange.Respond(400, {}, R"({"error":"invalid_grant","error_description":"Bad JWT"})");
  }

  std::string WriteKey(nlohmann::json changes = nlohmann::json::object(), mode_t mode = 0600) {
    nlohmann::json key = {{"type", "service_account"},
                          {"client_email", "sa@project"},
                          {"private_key_id", "kid1"},
                          {"private_key", private_key_},
                          {"token_uri", token_uri_}};
    key.update(changes);
    const std::string path = directory_ + "/account.json";
    EXPECT_TRUE(WriteFile(path, key.dump()));
    ::chmod(path.c_str(), mode);
    return path;
  }

  std::string directory_, private_key_, public_key_;
  HttpServer server_{[this](Exchange& exchange) { AnswerToken(exchange); }};
  std::string token_uri_ = server_.url() + "/token";
  http::Client client_;
};

TEST_F(ServiceAccountTest, ExchangesASignedAssertionForAToken) {
  const auto source = ServiceAccountTokens(WriteKey(), client_);
  ASSERT_TRUE(source) << source.error().message();
  const auto token = (*source)->Fetch();
  ASSERT_TRUE(token) << token.error().message();
  EXPECT_EQ(token->text, "minted");
  EXPECT_EQ(token->lifetime, 3599s);
}

TEST_F(ServiceAccountTest, ReportsARefusalWithoutTheKeyOrTheAssertion) {
  const auto source = ServiceAccountTokens(WriteKey({{"client_email", "other@project"}}), client_);
  const auto token = (*source)->Fetch();
  ASSERT_FALSE(token);
  EXPECT_EQ(token.error().code(), Code::kDenied);
  EXPECT_THAT(token.error().message(), HasSubstr("invalid_grant: Bad JWT"));
  EXPECT_THAT(token.error().message(), HasSubstr("other@project"));
  EXPECT_THAT(token.error().message(), Not(HasSubstr("eyJ")));
}

TEST_F(ServiceAccountTest, RefusesAKeyThatOthersCanRead) {
  const auto source = ServiceAccountTokens(WriteKey(nlohmann::json::object(), 0644), client_);
  ASSERT_FALSE(source);
  EXPECT_EQ(source.error().code(), Code::kDenied);
  EXPECT_THAT(source.error().message(), HasSubstr("chmod it to 0400"));
}

TEST_F(ServiceAccountTest, RefusesWhatIsNoServiceAccountKey) {
  auto source = ServiceAccountTokens(WriteKey({{"type", "authorized_user"}}), client_);
  EXPECT_EQ(source.error().code(), Code::kUnsupported);
  source = ServiceAccountTokens(WriteKey({{"token_uri", "http://example.com/token"}}), client_);
  EXPECT_EQ(source.error().code(), Code::kInvalid);
  source = ServiceAccountTokens(WriteKey({{"private_key", ""}}), client_);
  EXPECT_EQ(source.error().code(), Code::kInvalid);
  const auto broken = ServiceAccountTokens(WriteKey({{"private_key", "nonsense"}}), client_);
  ASSERT_TRUE(broken);
  const auto token = (*broken)->Fetch();
  EXPECT_EQ(token.error().code(), Code::kInvalid);
  EXPECT_THAT(token.error().message(), Not(HasSubstr("nonsense")));
}

TEST_F(ServiceAccountTest, LooksForCredentialsInTheDocumentedOrder) {
  fakes::MetadataServer metadata(fakes::Cloud::kGce);
  const auto find = [&](const std::string& file) {
    auto credentials = FindCredentials(file, metadata.url(), client_);
    EXPECT_TRUE(credentials) << credentials.error().message();
    return *(*credentials)->Authorization();
  };
  EXPECT_EQ(find(""), "Bearer metadata-token");
  ::setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1", 1);
  EXPECT_EQ(find(""), "");
  ::setenv("GOOGLE_APPLICATION_CREDENTIALS", WriteKey().c_str(), 1);
  EXPECT_EQ(find(""), "Bearer minted");
  ::setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nonexistent", 1);
  EXPECT_EQ(find(WriteKey()), "Bearer minted");
  EXPECT_FALSE(FindCredentials("", metadata.url(), client_));
}

}  // namespace
}  // namespace holdfast::storage::gcs
