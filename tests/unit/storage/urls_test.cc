#include "storage/urls/urls.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/files.h"

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

TEST(UrlsTest, ACheckpointThatIsNotThereIsKnownNotToBe) {
  char directory[] = "/var/tmp/holdfast-urls-test-XXXXXX";
  ASSERT_NE(::mkdtemp(directory), nullptr);
  const std::string base = directory;
  EXPECT_EQ(FindCheckpoint(base, "lab", 17, 0).error().code(), Code::kNotFound);
  ASSERT_TRUE(MakeDirectories(base + "/17/parts"));
  EXPECT_EQ(FindCheckpoint(base, "lab", 17, 0).error().code(), Code::kNotFound);
  ASSERT_TRUE(WriteFile(base + "/17/manifest-000004.h5", ""));
  EXPECT_TRUE(FindCheckpoint(base, "lab", 17, 0));
  EXPECT_TRUE(FindCheckpoint("file://" + base, "lab", 17, 4));
  EXPECT_EQ(FindCheckpoint(base, "lab", 17, 5).error().message(),
            "job 17 has no checkpoint 5 in " + base);
  const std::string named = base + "/lab-18-20261128T004824Z";
  ASSERT_TRUE(MakeDirectories(named + "/parts"));
  EXPECT_EQ(FindCheckpoint(base, "lab", 18, 0).error().code(), Code::kNotFound);
  ASSERT_TRUE(WriteFile(named + "/manifest-000001.h5", ""));
  EXPECT_TRUE(FindCheckpoint(base, "lab", 18, 1));
  EXPECT_EQ(FindCheckpoint(base, "other", 18, 1).error().code(), Code::kNotFound);
  EXPECT_EQ(FindCheckpoint(base, "lab", 8, 1).error().code(), Code::kNotFound);
  EXPECT_TRUE(FindCheckpoint(base + "/not/mounted/here", "lab", 17, 0));
  EXPECT_TRUE(FindCheckpoint("gs://bucket/prefix", "lab", 17, 0));
  ASSERT_TRUE(RemoveTree(base));
}

}  // namespace
}  // namespace holdfast::storage
