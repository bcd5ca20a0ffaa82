#include "cli/doctor_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace holdfast::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(FindVersion, FindsTheFirst) {
  EXPECT_EQ(FindVersion("6.18.0-amd64"), (Version{6, 18, 0}));
  EXPECT_EQ(FindVersion("Version: 4.2.1\nGitID: v4.2.1"), (Version{4, 2, 1}));
  EXPECT_EQ(FindVersion("Version: 3.17"), (Version{3, 17, 0}));
  EXPECT_EQ(FindVersion("slurm 24.11.5"), (Version{24, 11, 5}));
  EXPECT_EQ(FindVersion("build 7, version 1.2"), (Version{1, 2, 0}));
  EXPECT_EQ(FindVersion("no number"), std::nullopt);
  EXPECT_EQ(FindVersion("42"), std::nullopt);
  EXPECT_LT((Version{4, 1, 9}), (Version{4, 2, 0}));
}

TEST(JudgeKernel, WantsCloseRange) {
  EXPECT_EQ(JudgeKernel("6.12.43+deb13-amd64").fitness, Fitness::kOk);
  EXPECT_EQ(JudgeKernel("5.14.0-503.el9.x86_64").fitness, Fitness::kOk);
  EXPECT_EQ(JudgeKernel("4.18.0-553.el8").fitness, Fitness::kFailed);
  EXPECT_EQ(JudgeKernel("").fitness, Fitness::kFailed);
}

TEST(JudgeCriuVersion, SaysWhyOlderOnesFail) {
  EXPECT_EQ(JudgeCriuVersion("Version: 4.2.1\n", "6.18.0").fitness, Fitness::kOk);
  EXPECT_EQ(JudgeCriuVersion("Version: 5.0\n", "6.18.0").fitness, Fitness::kOk);

  const Check on_new_kernel = JudgeCriuVersion("Version: 4.1.1\n", "6.18.0");
  EXPECT_EQ(on_new_kernel.fitness, Fitness::kFailed);
  EXPECT_THAT(on_new_kernel.detail, AllOf(HasSubstr("page-server"), HasSubstr("SO_PASSCRED")));
  EXPECT_THAT(on_new_kernel.remedy, HasSubstr("4.2"));

  const Check on_old_kernel = JudgeCriuVersion("Version: 4.1.1\n", "6.12.0");
  EXPECT_EQ(on_old_kernel.fitness, Fitness::kFailed);
  EXPECT_THAT(on_old_kernel.detail, Not(HasSubstr("SO_PASSCRED")));

  EXPECT_EQ(JudgeCriuVersion("nonsense", "6.12.0").fitness, Fitness::kFailed);
}

TEST(JudgeCriuCheck, QuotesCriu) {
  EXPECT_EQ(JudgeCriuCheck(true, "Looks good.\n").fitness, Fitness::kOk);
  const Check check = JudgeCriuCheck(
      false, "Warn  (criu/x.c:1): hm\nError (criu/cr-check.c:9): Kernel lacks tun\nmore\n");
  EXPECT_EQ(check.fitness, Fitness::kFailed);
  EXPECT_EQ(check.detail, "Error (criu/cr-check.c:9): Kernel lacks tun");
}

constexpr const char* kConfig =
    "Configuration data as of 2026-01-01T00:00:00\n"
    "JobRequeue              = 1\n"
    "PlugStackConfig         = /etc/slurm/plugstack.conf\n"
    "PreemptMode             = REQUEUE\n"
    "PreemptType             = preempt/partition_prio\n"
    "ProctrackType           = proctrack/cgroup\n"
    "SlurmctldParameters     = a=b,c=d\n"
    "\n"
    "Slurmctld(primary) at ctl is UP\n";

TEST(SlurmConfig, IsReadAndJudged) {
  const SlurmConfig config = ParseSlurmConfig(kConfig);
  EXPECT_EQ(config.at("PlugStackConfig"), "/etc/slurm/plugstack.conf");
  EXPECT_EQ(config.at("SlurmctldParameters"), "a=b,c=d");
  for (const Check& check : JudgeSlurmConfig(config))
    EXPECT_EQ(check.fitness, Fitness::kOk) << check.name << ": " << check.detail;
}

TEST(SlurmConfig, EachFaultHasItsRemedy) {
  const std::tuple<const char*, const char*, const char*> kCases[] = {
      {"ProctrackType", "proctrack/linuxproc", "ProctrackType=proctrack/cgroup"},
      {"PreemptMode", "SUSPEND,GANG", "PreemptMode=REQUEUE"},
  };
  for (const auto& [key, value, remedy] : kCases) {
    SlurmConfig config = ParseSlurmConfig(kConfig);
    config[key] = value;
    size_t failures = 0;
    for (const Check& check : JudgeSlurmConfig(config)) {
      if (check.fitness != Fitness::kFailed) continue;
      ++failures;
      EXPECT_THAT(check.detail, HasSubstr(value));
      EXPECT_THAT(check.remedy, HasSubstr(remedy));
    }
    EXPECT_EQ(failures, 1u) << key;
  }
  // Without preemption jobs can be saved by hand; those that it ends go on all the same.
  SlurmConfig config = ParseSlurmConfig(kConfig);
  for (const char* const mode : {"OFF", "CANCEL"}) {
    config["PreemptMode"] = mode;
    for (const Check& check : JudgeSlurmConfig(config)) EXPECT_EQ(check.fitness, Fitness::kOk);
  }
}

TEST(JudgePartitions, SaysHowMuchTimeThereIs) {
  const Check check = JudgePartitions(
      "PartitionName=spot GraceTime=60 PreemptMode=REQUEUE\n"
      "PartitionName=cheap GraceTime=0 PreemptMode=GANG,REQUEUE\n"
      "PartitionName=cut GraceTime=10 PreemptMode=CANCEL\n"
      "PartitionName=urgent GraceTime=0 PreemptMode=OFF\n",
      {{"KillWait", "30 sec"}});
  EXPECT_EQ(check.fitness, Fitness::kOk);
  EXPECT_THAT(check.detail, AllOf(HasSubstr("spot 60 s,"), HasSubstr("cheap 30 s (KillWait)"),
                                  HasSubstr("cut 30 s (KillWait)"), Not(HasSubstr("urgent"))));
  EXPECT_THAT(
      JudgePartitions("PartitionName=p GraceTime=0 PreemptMode=REQUEUE\n", {{"KillWait", "0 sec"}})
          .detail,
      HasSubstr("p 5 s"));
  EXPECT_THAT(JudgePartitions("PartitionName=p GraceTime=60 PreemptMode=REQUEUE\n",
                              {{"KillWait", "30 sec"}, {"PreemptType", "preempt/qos"}})
                  .detail,
              AllOf(HasSubstr("30 s (KillWait)"), HasSubstr("QOS")));
}

TEST(ParsePlugStack, FindsThePluginAndIncludes) {
  const PlugStack stack = ParsePlugStack(
      "# optional /old/holdfast.so\n"
      "include /etc/slurm/plugstack.conf.d/*\n"
      "required spank_pyxis.so\n"
      "optional  /usr/lib/slurm-wlm/holdfast.so  # ours\n");
  EXPECT_EQ(stack.plugin, "/usr/lib/slurm-wlm/holdfast.so");
  EXPECT_THAT(stack.includes, testing::ElementsAre("/etc/slurm/plugstack.conf.d/*"));
  EXPECT_EQ(ParsePlugStack("optional my_holdfast.so\n").plugin, std::nullopt);
  EXPECT_EQ(ParsePlugStack("optional holdfast.so").plugin, "holdfast.so");
}

TEST(JudgePluginVersion, ComparesReleases) {
  constexpr uint32_t k24_11_2 = 24 << 16 | 11 << 8 | 2;
  EXPECT_EQ(JudgePluginVersion(k24_11_2, "slurm 24.11.5\n").fitness, Fitness::kOk);
  EXPECT_EQ(JudgePluginVersion(k24_11_2, "slurm 25.05.0\n").fitness, Fitness::kFailed);
  EXPECT_EQ(JudgePluginVersion(k24_11_2, "").fitness, Fitness::kFailed);
}

TEST(JudgeSiteKey, WantsItSecretAndWhole) {
  const std::string key(64, 'a');
  EXPECT_EQ(JudgeSiteKey("/k", 0, 0400, key + "\n").fitness, Fitness::kOk);
  EXPECT_EQ(JudgeSiteKey("/k", 0, 0600, key).fitness, Fitness::kOk);
  EXPECT_EQ(JudgeSiteKey("/k", 0, 0400, std::nullopt).fitness, Fitness::kNotChecked);
  EXPECT_EQ(JudgeSiteKey("/k", 0, 0440, key).fitness, Fitness::kFailed);
  EXPECT_EQ(JudgeSiteKey("/k", 0, 0604, key).fitness, Fitness::kFailed);
  EXPECT_EQ(JudgeSiteKey("/k", 1000, 0400, key).fitness, Fitness::kFailed);
  EXPECT_EQ(JudgeSiteKey("/k", 0, 0400, "abc").fitness, Fitness::kFailed);
  EXPECT_EQ(JudgeSiteKey("/k", 0, 0400, std::string(64, 'x')).fitness, Fitness::kFailed);
}

TEST(JudgeVxlanPort, WantsItPrivilegedAndFree) {
  const std::string header =
      "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
      "inode ref pointer drops\n";
  // Port 829 is 033D.
  const std::string kernels =
      "  100: 00000000:033D 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 "
      "0 2 0000000000000000 0\n";
  const std::string somebodys =
      "  100: 00000000:033D 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 "
      "4711 2 0000000000000000 0\n";
  EXPECT_EQ(JudgeVxlanPort(829, header, 1024).fitness, Fitness::kOk);
  EXPECT_EQ(JudgeVxlanPort(829, header + kernels, 1024).fitness, Fitness::kOk);
  EXPECT_EQ(JudgeVxlanPort(829, header + somebodys, 1024).fitness, Fitness::kFailed);
  EXPECT_EQ(JudgeVxlanPort(830, header + somebodys, 1024).fitness, Fitness::kOk);
  const Check open = JudgeVxlanPort(829, header, 1000);
  EXPECT_EQ(open.fitness, Fitness::kFailed);
  EXPECT_THAT(open.detail, HasSubstr("ip_unprivileged_port_start is 1000"));
}

TEST(JudgeTimes, ComparesWhatSavesTakeWithWhatSlurmLeaves) {
  const auto job = [](unsigned id, int64_t takes_s, int64_t has_s) {
    return nlohmann::json{{"job_id", id},
                          {"times",
                           {{"notice_suffices", takes_s <= has_s},
                            {"notice_ns", has_s * 1'000'000'000},
                            {"to_safe_longest_ns", takes_s * 1'000'000'000}}}};
  };
  // One has ended, and one has not been saved yet.
  const nlohmann::json ended{{"job_id", 1}, {"times", nullptr}};
  const nlohmann::json young{{"job_id", 2},
                             {"times",
                              {{"notice_suffices", nullptr},
                               {"notice_ns", 30'000'000'000},
                               {"to_safe_longest_ns", nullptr}}}};
  EXPECT_EQ(JudgeTimes({{"jobs", {ended, young}}}).fitness, Fitness::kNotChecked);
  const Check fit = JudgeTimes({{"jobs", {ended, young, job(3, 4, 60), job(4, 8, 30)}}});
  EXPECT_EQ(fit.fitness, Fitness::kOk);
  EXPECT_THAT(fit.detail, AllOf(HasSubstr("8.00 s at most (2 running jobs)"), HasSubstr("30 s")));
  const Check late = JudgeTimes({{"jobs", {job(3, 4, 60), job(4, 45, 30)}}});
  EXPECT_EQ(late.fitness, Fitness::kFailed);
  EXPECT_THAT(late.detail, HasSubstr("1 of 2: job 4 takes 45 s and has 30 s"));
}

TEST(JudgeHealth, NamesWhatTheCoordinatorLacks) {
  nlohmann::json health{{"version", HOLDFAST_VERSION}, {"slurm", "ok"}, {"journal", "ok"}};
  EXPECT_EQ(JudgeHealth(health).fitness, Fitness::kOk);
  health["journal"] = "journal: database or disk is full";
  EXPECT_EQ(JudgeHealth(health).fitness, Fitness::kFailed);
  EXPECT_THAT(JudgeHealth(health).detail, HasSubstr("disk is full"));
  health["slurm"] = "away";
  EXPECT_THAT(JudgeHealth(health).detail, HasSubstr("cannot reach Slurm: away"));
  health["version"] = "0.0.1";
  EXPECT_THAT(JudgeHealth(health).detail, HasSubstr("version 0.0.1"));
}

TEST(Doctor, ShowsRemediesAndIsUnfitIfAnythingFailed) {
  const std::vector<Check> fit{Ok("a", "fine"), NotChecked("b", "needs root")};
  EXPECT_TRUE(AllFit(fit));
  const std::vector<Check> unfit{Ok("a", "fine"), Failed("kernel", "old", "buy another")};
  EXPECT_FALSE(AllFit(unfit));
  EXPECT_EQ(ToText(unfit),
            "ok           a       fine\n"
            "failed       kernel  old\n"
            "                     -> buy another\n");
  EXPECT_EQ(
      ToJson(unfit).dump(),
      R"({"checks":[{"detail":"fine","name":"a","result":"ok"},)"
      R"({"detail":"old","name":"kernel","remedy":"buy another","result":"failed"}],"fit":false})");
}

}  // namespace
}  // namespace holdfast::cli
