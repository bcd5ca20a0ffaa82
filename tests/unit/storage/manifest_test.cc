#include "storage/manifest.h"

#include <gtest/gtest.h>

#include "storage/layout.h"

namespace holdfast::storage {
namespace {

const JobName kJob{"lab", 4242, "20261128T004824Z"};

Manifest Sample() {
  Manifest manifest{.job = kJob,
                    .checkpoint = 17,
                    .unix_ms = 1'800'000'000'123,
                    .uid = 4'000'000'000,
                    .gid = 100,
                    .hostnames = {"n1", "n2"},
                    .parts = {},
                    .attributes = {{"cpu", "some CPU"}, {"empty", ""}}};
  for (uint32_t pod = 0; pod < 2; ++pod)
    manifest.parts.push_back({.pod = pod,
                              .name = PartKey(17, pod),
                              .digest = {},
                              .raw_bytes = 1ULL << 40,
                              .stored_bytes = 12345,
                              .processes = 3 + pod});
  manifest.parts[1].digest.fill(std::byte{0xab});
  return manifest;
}

const ManifestIdentity kExpected{.job = kJob, .checkpoint = 17, .uid = 4'000'000'000};
const SiteKey kKey{{std::byte{1}, std::byte{2}}};

TEST(ManifestTest, IsReadAsWritten) {
  const auto file = EncodeManifest(Sample(), kKey);
  ASSERT_TRUE(file) << file.error().message();
  const auto manifest = DecodeManifest(*file, kKey, kExpected);
  ASSERT_TRUE(manifest) << manifest.error().message();
  EXPECT_EQ(manifest->unix_ms, 1'800'000'000'123);
  EXPECT_EQ(manifest->gid, 100u);
  EXPECT_EQ(manifest->hostnames, (std::vector<std::string>{"n1", "n2"}));
  EXPECT_EQ(manifest->attributes, Sample().attributes);
  ASSERT_EQ(manifest->parts.size(), 2u);
  EXPECT_EQ(manifest->parts[1].name, "parts/000017-1.h5");
  EXPECT_EQ(manifest->parts[1].digest, Sample().parts[1].digest);
  EXPECT_EQ(manifest->parts[1].raw_bytes, 1ULL << 40);
  EXPECT_EQ(manifest->parts[1].processes, 4u);
}

// Every bit of the file matters, the user block's padding too.
TEST(ManifestTest, AnyFlippedBitIsRefused) {
  auto file = *EncodeManifest(Sample(), kKey);
  for (size_t offset = 0; offset < file.size(); offset += offset < 600 ? 1 : 97) {
    file[offset] ^= std::byte{1};
    const auto manifest = DecodeManifest(file, kKey, kExpected);
    ASSERT_FALSE(manifest) << offset;
    EXPECT_TRUE(manifest.error().code() == Code::kCorrupt ||
                manifest.error().code() == Code::kUnsupported);
    file[offset] ^= std::byte{1};
  }
  EXPECT_TRUE(DecodeManifest(file, kKey, kExpected));
}

// What a user can know, who has no key.
TEST(ManifestTest, WithoutAKeyItIsComparedWithItsDigest) {
  auto file = *EncodeManifest(Sample(), kKey);
  EXPECT_TRUE(DecodeManifest(file, std::nullopt, kExpected));
  for (size_t offset = 48; offset < file.size(); offset += offset < 600 ? 1 : 97) {
    file[offset] ^= std::byte{1};
    EXPECT_FALSE(DecodeManifest(file, std::nullopt, kExpected)) << offset;
    file[offset] ^= std::byte{1};
  }
  // Earlier releases wrote none.
  std::fill_n(file.begin() + 48, 32, std::byte{0});
  EXPECT_TRUE(DecodeManifest(file, std::nullopt, kExpected));
}

TEST(ManifestTest, AnyTruncationAndAnyAdditionIsRefused) {
  auto file = *EncodeManifest(Sample(), kKey);
  for (size_t size = 0; size < file.size(); size += 61)
    EXPECT_FALSE(DecodeManifest(std::span(file).first(size), kKey, kExpected)) << size;
  file.push_back(std::byte{0});
  EXPECT_FALSE(DecodeManifest(file, kKey, kExpected));
}

TEST(ManifestTest, AnotherKeyIsAClearError) {
  const auto file = EncodeManifest(Sample(), kKey);
  const auto manifest = DecodeManifest(*file, SiteKey{}, kExpected);
  ASSERT_FALSE(manifest);
  EXPECT_EQ(manifest.error().code(), Code::kCorrupt);
  EXPECT_NE(manifest.error().message().find("written with another key"), std::string::npos);
}

TEST(ManifestTest, AnothersManifestIsDenied) {
  const auto file = EncodeManifest(Sample(), kKey);
  for (const ManifestIdentity& expected :
       {ManifestIdentity{{"lab", 4243, kJob.submitted}, 17, kExpected.uid},
        ManifestIdentity{{"lab", 4242, "20261128T004825Z"}, 17, kExpected.uid},
        ManifestIdentity{kJob, 16, kExpected.uid}, ManifestIdentity{kJob, 17, 1000}}) {
    const auto manifest = DecodeManifest(*file, kKey, expected);
    ASSERT_FALSE(manifest);
    EXPECT_EQ(manifest.error().code(), Code::kDenied);
  }
}

// The cluster is in the key, so what another has written is as foreign as what another site has.
TEST(ManifestTest, AnotherClustersManifestIsRefused) {
  const auto file = EncodeManifest(Sample(), kKey);
  ManifestIdentity expected = kExpected;
  expected.job.cluster = "other";
  auto manifest = DecodeManifest(*file, kKey, expected);
  ASSERT_FALSE(manifest);
  EXPECT_EQ(manifest.error().code(), Code::kCorrupt);
  EXPECT_NE(manifest.error().message().find("by another cluster than other"), std::string::npos);
  manifest = DecodeManifest(*file, std::nullopt, expected);
  ASSERT_FALSE(manifest);
  EXPECT_EQ(manifest.error().code(), Code::kDenied);
  EXPECT_NE(manifest.error().message().find("of cluster lab,"), std::string::npos);
}

TEST(ManifestTest, OneWithoutNamesIsGoodInTheOldPlaceOnly) {
  Manifest old = Sample();
  old.job = {.id = 4242};
  const auto file = EncodeManifest(old, kKey);
  ASSERT_TRUE(file) << file.error().message();
  ManifestIdentity expected = kExpected;
  expected.job = old.job;
  EXPECT_TRUE(DecodeManifest(*file, kKey, expected));
  EXPECT_FALSE(DecodeManifest(*file, kKey, kExpected));
  EXPECT_FALSE(DecodeManifest(*file, std::nullopt, kExpected));
  EXPECT_FALSE(DecodeManifest(*EncodeManifest(Sample(), kKey), kKey, expected));
  EXPECT_FALSE(DecodeManifest(*EncodeManifest(Sample(), kKey), std::nullopt, expected));
}

TEST(ManifestTest, AManifestThatNamesPartsOutOfPlaceIsNotWritten) {
  Manifest manifest = Sample();
  std::swap(manifest.parts[0], manifest.parts[1]);
  EXPECT_FALSE(EncodeManifest(manifest, kKey));
  manifest = Sample();
  manifest.parts[0].name = "../../etc/passwd";
  EXPECT_FALSE(EncodeManifest(manifest, kKey));
  manifest = Sample();
  manifest.hostnames.pop_back();
  EXPECT_FALSE(EncodeManifest(manifest, kKey));
}

}  // namespace
}  // namespace holdfast::storage
