#include "storage/urls/urls.h"

#include <gtest/gtest.h>

namespace holdfast::storage {
namespace {

TEST(UrlsTest, EveryBackEndHasItsOwn) {
  const auto path = BackendOfUrl("/scratch/alice"), file = BackendOfUrl("file:///scratch/alice"),
             bucket = BackendOfUrl("gs://bucket/alice");
  ASSERT_TRUE(path && file && bucket);
  EXPECT_EQ(*path, *file);
  EXPECT_NE(*path, *bucket);
}

TEST(UrlsTest, WhatNoBackEndServesIsRefusedWithWhatIsAccepted) {
  EXPECT_TRUE(CheckUrl("/scratch/alice"));
  EXPECT_TRUE(CheckUrl("/scratch/with blank"));
  for (const char* url : {"", "scratch", "ftp://bucket", "file://host/x", "/a\nb"}) {
    EXPECT_EQ(BeginsLikeUrl(url), std::string_view(url).starts_with('/')) << url;
    const auto checked = CheckUrl(url);
    ASSERT_FALSE(checked) << url;
    EXPECT_EQ(checked.error().code(), Code::kInvalid);
    EXPECT_NE(checked.error().message().find(AcceptedUrls()), std::string::npos);
  }
  EXPECT_FALSE(CheckUrl("/" + std::string(5000, 'x')));
  for (const char* url : {"gs://", "gs:///x", "gs://ab", "gs://bucket//x", "gs://bu cket/a"}) {
    const auto checked = CheckUrl(url);
    ASSERT_FALSE(checked) << url;
    EXPECT_NE(checked.error().message().find("write gs://BUCKET/PREFIX"), std::string::npos);
  }
}

TEST(UrlsTest, EveryObjectStoreSaysWhatItTakes) {
  EXPECT_TRUE(CheckUrl("s3://bucket/alice"));
  EXPECT_FALSE(CheckUrl("s3://" + std::string(64, 'b') + "/alice"));
  EXPECT_EQ(AcceptedUrls(), "/PATH, file:///PATH, gs://BUCKET/PREFIX or s3://BUCKET/PREFIX");
}

}  // namespace
}  // namespace holdfast::storage
