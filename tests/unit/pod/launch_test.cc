#include "pod/launch.h"

#include <gtest/gtest.h>

namespace holdfast::pod {
namespace {

Launch Sample() {
  return {.argv = {"/var/spool/slurm/job7/slurm_script", "one", "", "two words"},
          .environment = {"A=1", "B=line\nbreak", "EMPTY="},
          .script = "#!/bin/bash\nhostname\n",
          .cwd = "/home/alice",
          .umask = 027,
          .limits = {{RLIMIT_NOFILE, 1024, 4096}, {RLIMIT_CORE, 0, RLIM_INFINITY}},
          .input = {"/dev/null", false},
          .output = {"/home/alice/slurm-7.out", true},
          .error = {"/home/alice/err", false},
          .note = "its script starts over"};
}

TEST(Launch, ComesBackAsItWas) {
  const Launch launch = Sample();
  const auto parsed = ParseLaunch(Serialize(launch));
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(parsed->argv, launch.argv);
  EXPECT_EQ(parsed->environment, launch.environment);
  EXPECT_EQ(parsed->script, launch.script);
  EXPECT_EQ(parsed->cwd, launch.cwd);
  EXPECT_EQ(parsed->umask, launch.umask);
  ASSERT_EQ(parsed->limits.size(), 2u);
  EXPECT_EQ(parsed->limits[0].resource, RLIMIT_NOFILE);
  EXPECT_EQ(parsed->limits[0].soft, 1024u);
  EXPECT_EQ(parsed->limits[1].hard, RLIM_INFINITY);
  EXPECT_EQ(parsed->output.path, "/home/alice/slurm-7.out");
  EXPECT_TRUE(parsed->output.append);
  EXPECT_FALSE(parsed->error.append);
  EXPECT_EQ(parsed->note, launch.note);
}

TEST(Launch, RefusesEveryTruncation) {
  const std::string bytes = Serialize(Sample());
  for (size_t length = 0; length < bytes.size(); ++length) {
    const auto parsed = ParseLaunch(std::string_view(bytes).substr(0, length));
    ASSERT_FALSE(parsed) << length;
    EXPECT_EQ(parsed.error().code(), Code::kCorrupt);
  }
}

TEST(Launch, RefusesWhatItWouldNotWrite) {
  EXPECT_FALSE(ParseLaunch(Serialize(Sample()) + "x"));
  EXPECT_FALSE(ParseLaunch(Serialize(Launch{})));  // nothing to run
  Launch bad_limit = Sample();
  bad_limit.limits[0].resource = 1000;
  EXPECT_FALSE(ParseLaunch(Serialize(bad_limit)));
  std::string huge_list = Serialize(Sample());
  huge_list.replace(std::string_view("holdfast launch 1\n").size(), 8, 8, '\xff');
  EXPECT_FALSE(ParseLaunch(huge_list));
}

}  // namespace
}  // namespace holdfast::pod
