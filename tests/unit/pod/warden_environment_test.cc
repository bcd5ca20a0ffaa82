#include "pod/warden_environment.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace holdfast::pod {
namespace {

WardenEnvironment Sample() {
  return {.job_id = 4242,
          .restart_count = 2,
          .pod = 1,
          .pods = 4,
          .slot = 1,
          .slots = 2,
          .node = "n012",
          .owner = {.uid = 1000, .gid = 100, .groups = {27, 100}},
          .warning_seconds = 120,
          .cluster = "lab",
          .submitted = "20261128T004824Z",
          .config_path = "/etc/holdfast/holdfast.yaml",
          .options = {.checkpoint = true,
                      .interval = Interval{.every = std::chrono::seconds(600)},
                      .directory = "gs://bucket/a",
                      .files = {"/scratch/a", "/scratch/b"}},
          .task_pid = 99,
          .exec_fd = 4,
          .link_fd = 3};
}

Result<WardenEnvironment> Parse(const std::vector<std::string>& strings) {
  std::vector<const char*> pointers;
  for (const std::string& string : strings) pointers.push_back(string.c_str());
  pointers.push_back(nullptr);
  return ParseWardenEnvironment(pointers.data());
}

TEST(WardenEnvironment, ComesBackAsItWas) {
  const WardenEnvironment sample = Sample();
  const auto parsed = Parse(ToStrings(sample));
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(parsed->job_id, sample.job_id);
  EXPECT_EQ(parsed->restart_count, sample.restart_count);
  EXPECT_EQ(parsed->pod, sample.pod);
  EXPECT_EQ(parsed->pods, sample.pods);
  EXPECT_EQ(parsed->slot, sample.slot);
  EXPECT_EQ(parsed->slots, sample.slots);
  EXPECT_EQ(parsed->node, sample.node);
  EXPECT_EQ(parsed->owner, sample.owner);
  EXPECT_EQ(parsed->warning_seconds, sample.warning_seconds);
  EXPECT_EQ(parsed->cluster, sample.cluster);
  EXPECT_EQ(parsed->submitted, sample.submitted);
  EXPECT_EQ(parsed->config_path, sample.config_path);
  EXPECT_EQ(parsed->options, sample.options);
  EXPECT_EQ(parsed->task_pid, sample.task_pid);
  EXPECT_EQ(parsed->exec_fd, sample.exec_fd);
  EXPECT_EQ(parsed->link_fd, sample.link_fd);
}

TEST(WardenEnvironment, OnlyATimeOfSubmissionNamesAJob) {
  WardenEnvironment sample = Sample();
  sample.submitted.clear();  // by a release that did not tell
  ASSERT_TRUE(Parse(ToStrings(sample)));
  sample.submitted = "../20261128T004824Z";
  const auto parsed = Parse(ToStrings(sample));
  ASSERT_FALSE(parsed);
  EXPECT_TRUE(parsed.error().message().contains("HOLDFAST_SUBMITTED"));
}

TEST(WardenEnvironment, ListsMayBeEmpty) {
  WardenEnvironment sample = Sample();
  sample.owner.groups.clear();
  sample.options = {};
  const auto parsed = Parse(ToStrings(sample));
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_TRUE(parsed->owner.groups.empty());
  EXPECT_EQ(parsed->options, JobOptions());
}

TEST(WardenEnvironment, TheSitesOwnVariablesAreThoseForCloudStorage) {
  for (const char* name :
       {"GOOGLE_APPLICATION_CREDENTIALS", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"})
    ::unsetenv(name);
  ::setenv("STORAGE_EMULATOR_HOST", "http://ctl:4443", 1);
  ::setenv("LD_PRELOAD_OF_SOMEBODY", "x", 1);
  EXPECT_EQ(SiteVariables(), std::vector<std::string>{"STORAGE_EMULATOR_HOST=http://ctl:4443"});
  ::unsetenv("STORAGE_EMULATOR_HOST");
  EXPECT_EQ(SiteVariables(), std::vector<std::string>{});
}

TEST(WardenEnvironment, NamesWhatIsMissing) {
  const std::vector<std::string> all = ToStrings(Sample());
  for (size_t left_out = 0; left_out < all.size(); ++left_out) {
    const std::string name = all[left_out].substr(0, all[left_out].find('='));
    std::vector<std::string> strings = all;
    strings.erase(strings.begin() + static_cast<long>(left_out));
    const auto parsed = Parse(strings);
    ASSERT_FALSE(parsed) << name;
    EXPECT_NE(parsed.error().message().find(name + " is missing"), std::string::npos)
        << parsed.error().message();
  }
}

TEST(WardenEnvironment, RefusesMalformedValues) {
  for (const auto& [name, value] : std::vector<std::pair<std::string, std::string>>{
           {"HOLDFAST_JOB_ID", "x"},
           {"HOLDFAST_UID", "-1"},
           {"HOLDFAST_POD", "4"},
           {"HOLDFAST_GROUPS", "27,,100"},
           {"HOLDFAST_OPTIONS", "holdfast-options 1\ncheckpoint-keep=many\n"}}) {
    std::vector<std::string> strings = ToStrings(Sample());
    for (std::string& string : strings)
      if (string.starts_with(name + "=")) string = name + "=" + value;
    EXPECT_FALSE(Parse(strings)) << name;
  }
}

}  // namespace
}  // namespace holdfast::pod
