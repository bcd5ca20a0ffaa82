#include "config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <unistd.h>

#include <filesystem>

#include "base/files.h"
#include "config/keys.h"

namespace holdfast::config {
namespace {

using std::chrono::seconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ConfigTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "holdfast-config-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  Result<Config> LoadText(std::string_view text) {
    path_ = directory_ + "/holdfast.yaml";
    EXPECT_TRUE(WriteFile(path_, text));
    return Load(path_);
  }
  std::string ErrorOf(std::string_view text) {
    const auto config = LoadText(text);
    if (config) return "no error";
    EXPECT_EQ(config.error().code(), Code::kInvalid);
    return config.error().message();
  }

  std::string directory_;
  std::string path_;
};

TEST_F(ConfigTest, AnEmptyFileIsAllDefaults) {
  const auto config = LoadText("# nothing\n");
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->coordinator.rest_port, 6829);
  EXPECT_EQ(config->checkpoint.directory, "%h/.holdfast");
  EXPECT_EQ(config->node.coordinator_patience, seconds(120));
}

TEST_F(ConfigTest, AMissingFileIsAnError) {
  const auto config = Load(directory_ + "/none.yaml");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code(), Code::kNotFound);
  EXPECT_THAT(config.error().message(), HasSubstr("none.yaml"));
}

TEST_F(ConfigTest, ReadsEveryKindOfValue) {
  const auto config = LoadText(
      "coordinator:\n"
      "  host: ctl\n"
      "  rest_port: 7000\n"
      "  poll_interval: 5s\n"
      "  state_directory: /srv/holdfast\n"
      "checkpoint:\n"
      "  directory: /scratch/%u/ckpt\n"
      "  interval: 1:30:00\n"
      "  memory_budget: 1GiB\n"
      "  compression_level: 0\n"
      "node:\n"
      "  criu: /opt/criu/sbin/criu\n"
      "  subnet: 10.64.0.0/12\n"
      "  vxlan_port: 1000\n"
      "cloud:\n"
      "  provider: gce\n"
      "  endpoint: http://10.0.0.1:8080\n"
      "  notice_time: 30s\n"
      "  credentials_file: /etc/holdfast/key.json\n");
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->coordinator.host, "ctl");
  EXPECT_EQ(config->coordinator.rest_port, 7000);
  EXPECT_EQ(config->coordinator.poll_interval, seconds(5));
  EXPECT_EQ(config->coordinator.state_directory, "/srv/holdfast");
  EXPECT_EQ(config->checkpoint.directory, "/scratch/%u/ckpt");
  EXPECT_EQ(config->checkpoint.interval, (Interval{.every = seconds(5400)}));
  EXPECT_EQ(config->checkpoint.memory_budget_bytes, 1ULL << 30);
  EXPECT_EQ(config->checkpoint.compression_level, 0);
  EXPECT_EQ(config->node.criu, "/opt/criu/sbin/criu");
  EXPECT_EQ(config->node.subnet, "10.64.0.0/12");
  EXPECT_EQ(config->node.vxlan_port, 1000);
  EXPECT_EQ(config->cloud.provider, "gce");
  EXPECT_EQ(config->cloud.endpoint, "http://10.0.0.1:8080");
  EXPECT_EQ(config->cloud.notice_time, seconds(30));
  EXPECT_EQ(config->cloud.credentials_file, "/etc/holdfast/key.json");
}

TEST_F(ConfigTest, AnIntervalMayBeLeftToHoldfast) {
  const auto config = LoadText(
      "checkpoint: {interval: auto, auto_shortest: 5m, auto_longest: 1h, node_lifetime: 2d}\n");
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->checkpoint.interval, Interval{.automatic = true});
  EXPECT_EQ(config->checkpoint.auto_shortest, seconds(300));
  EXPECT_EQ(config->checkpoint.auto_longest, seconds(3600));
  EXPECT_EQ(config->checkpoint.node_lifetime, seconds(172800));
}

TEST_F(ConfigTest, ReportsAllProblemsAtOnceWithTheirPlaces) {
  const auto message = ErrorOf(
      "coordinator:\n"
      "  rest_prot: 7000\n"
      "checkpoint:\n"
      "  keep: many\n"
      "node:\n"
      "  colour: blue\n"
      "nodes:\n"
      "  criu: criu\n");
  EXPECT_EQ(
      message,
      path_ + ":2:3: 'rest_prot' is no key of section 'coordinator'; did you mean 'rest_port'?\n" +
          path_ +
          ":4:9: 'many' is not accepted for checkpoint.keep: expected a number, 1 to 1000\n" +
          path_ +
          ":6:3: 'colour' is no key of section 'node'; accepted: closed_networks, "
          "coordinator_patience, "
          "criu, key_file, local_directories, log_directory, outside_network, "
          "private_directories, private_place, subnet, vxlan_port\n" +
          path_ + ":7:1: 'nodes' is no section; did you mean 'node'?");
}

TEST_F(ConfigTest, AReloadKeepsWhatNeedsARestart) {
  Config running;
  Config read;
  read.coordinator.rest_port = 7000;
  read.coordinator.restore_attempts = 5;
  read.checkpoint.keep = 4;
  std::vector<std::string> said;
  for (const Change& change : Compare(running, read))
    said.push_back(change.name + ": " + change.before + " -> " + change.after + ", " +
                   AppliesName(change.applies));
  EXPECT_THAT(said, ElementsAre("coordinator.rest_port: 6829 -> 7000, restart",
                                "coordinator.restore_attempts: 3 -> 5, reload",
                                "checkpoint.keep: 2 -> 4, new jobs"));
  const Config now = Reloaded(running, read);
  EXPECT_EQ(now.coordinator.rest_port, 6829);
  EXPECT_EQ(now.coordinator.restore_attempts, 5U);
  // And says so again the next time.
  EXPECT_EQ(Compare(now, read).size(), 1U);
  EXPECT_THAT(Compare(read, read), IsEmpty());
}

TEST_F(ConfigTest, TheReferenceForATerminalHasEverySetting) {
  for (const Setting& setting : Settings())
    EXPECT_THAT(ReferenceText(), AllOf(HasSubstr(setting.name + "\n"), HasSubstr(setting.meaning)));
}

TEST_F(ConfigTest, CompressionMayBeLeftToHoldfast) {
  const auto config = LoadText("checkpoint: {compression_level: auto}\n");
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->checkpoint.compression_level, kAutomatic);
}

TEST_F(ConfigTest, RefusesWhatIsOutOfBounds) {
  const std::pair<const char*, const char*> kCases[] = {
      {"node: {vxlan_port: 4789}", "a port, 1 to 1023"},
      {"node: {vxlan_port: -1}", "a port, 1 to 1023"},
      {"node: {subnet: 198.18.0.1/16}", "an IPv4 network, prefix 8 to 24"},
      {"node: {subnet: 198.18.0.0/30}", "an IPv4 network, prefix 8 to 24"},
      {"node: {subnet: 198.18.0.0}", "an IPv4 network, prefix 8 to 24"},
      {"node: {key_file: site.key}", "an absolute path"},
      {"node: {key_file: }", "an absolute path"},
      {"node: {private_directories: '/scratch,tmp'}", "absolute paths"},
      {"node: {private_directories: /scratch/}", "absolute paths"},
      {"node: {private_directories: ''}", "absolute paths"},
      {"node: {criu: bin/criu}", "a name in PATH or an absolute path"},
      {"checkpoint: {directory: ckpt}", "/PATH, file:///PATH"},
      {"checkpoint: {memory_budget: 1MiB}", "a size, 16MiB to 1TiB"},
      {"checkpoint: {memory_budget: 99999999999TiB}", "a size, 16MiB to 1TiB"},
      {"checkpoint: {memory_budget: 1 GB}", "a size, 16MiB to 1TiB"},
      {"checkpoint: {interval: automatic}", "auto, or a duration, 0s to 365d"},
      {"checkpoint: {timeout: soon}", "a duration, 10s to 1d"},
      {"checkpoint: {compression_level: 1.5}", "auto, or a number, 0 to 19"},
      {"checkpoint: {compression_level: -1}", "auto, or a number, 0 to 19"},
      {"checkpoint: {compression_level: automatic}", "auto, or a number, 0 to 19"},
      {"checkpoint: {keep: auto}", "a number, 1 to 1000"},
      {"coordinator: {user: two words}", "a word"},
      {"coordinator: {rest_port: [1, 2]}", "a port, 1 to 65535"},
      {"coordinator: {evacuate_reason: '('}", "an extended regular expression"},
      {"checkpoint: {restore: fast}", "one of lazy, eager"},
      {"cloud: {provider: gcp}", "one of auto, none, gce, aws, azure"},
      {"cloud: {endpoint: storage.example}", "a URL, http:// or https://"},
      {"cloud: {endpoint: ''}", "a URL, http:// or https://"},
      {"cloud: {ca_file: ca.pem}", "an absolute path"},
  };
  for (const auto& [text, accepted] : kCases)
    EXPECT_THAT(ErrorOf(text), AllOf(HasSubstr(path_ + ":1:"), HasSubstr(accepted))) << text;
}

TEST_F(ConfigTest, RefusesWhatIsNoYamlOrAnotherShape) {
  EXPECT_THAT(ErrorOf("node:\n  criu: \"x\n"), HasSubstr(path_ + ":"));
  EXPECT_THAT(ErrorOf("- a\n- b\n"), HasSubstr(":1:1: expected sections"));
  EXPECT_THAT(ErrorOf("node: 5\n"), HasSubstr(":1:7: section 'node': expected lines"));
  EXPECT_THAT(ErrorOf("node: {criu: a, criu: b}\n"), HasSubstr("'node.criu' is given twice"));
  EXPECT_THAT(ErrorOf("node: {}\nnode: {}\n"), HasSubstr(":2:1: section 'node' is given twice"));
  EXPECT_THAT(ErrorOf("? [a]\n: b\n"), HasSubstr("is no section"));
}

TEST_F(ConfigTest, WhatIsUnsetByDefaultMayBeGivenAsEmpty) {
  const auto config =
      LoadText("cloud: {proxy: '', ca_file: ''}\ncoordinator: {evacuate_reason: ''}");
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->cloud.proxy, "");
}

TEST_F(ConfigTest, ListsPathsOrNone) {
  const auto config =
      LoadText("node: {private_directories: '/scratch,/tmp', local_directories: /data}\n");
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_THAT(ListOf(config->node.private_directories), ElementsAre("/scratch", "/tmp"));
  EXPECT_THAT(ListOf(config->node.local_directories), ElementsAre("/data"));
  EXPECT_THAT(ListOf(Config{}.node.private_directories), ElementsAre("/var/tmp"));
  EXPECT_THAT(ListOf(Config{}.node.local_directories), IsEmpty());
  const auto none = LoadText("node: {private_directories: none}\n");
  ASSERT_TRUE(none) << none.error().message();
  EXPECT_THAT(ListOf(none->node.private_directories), IsEmpty());
}

TEST_F(ConfigTest, APatternMayHaveSpaces) {
  const auto config = LoadText("coordinator: {evacuate_reason: '^(spot|planned) .*maintenance'}");
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->coordinator.evacuate_reason, "^(spot|planned) .*maintenance");
}

TEST_F(ConfigTest, RefusesOnePortForTwoServers) {
  EXPECT_THAT(ErrorOf("coordinator: {rest_port: 6828}"), HasSubstr("are both 6828"));
}

TEST(ExpandDirectory, PutsInHomeAndName) {
  const passwd* self = getpwuid(geteuid());
  ASSERT_NE(self, nullptr);
  const std::string home = self->pw_dir;
  const std::string name = self->pw_name;
  EXPECT_EQ(ExpandDirectory("%h/.holdfast", geteuid()), home + "/.holdfast");
  EXPECT_EQ(ExpandDirectory("/scratch/%u/100%%", geteuid()), "/scratch/" + name + "/100%");
  EXPECT_EQ(ExpandDirectory("gs://bucket/x", geteuid()), "gs://bucket/x");
}

TEST(ExpandDirectory, NamesWhatItCannotExpand) {
  for (const char* directory : {"/scratch/%j", "/scratch/%"}) {
    const auto expanded = ExpandDirectory(directory, geteuid());
    ASSERT_FALSE(expanded);
    EXPECT_EQ(expanded.error().code(), Code::kInvalid);
    EXPECT_THAT(expanded.error().message(), HasSubstr(directory));
  }
  constexpr uid_t kNobodyHasThis = 3999999999;
  const auto unknown = ExpandDirectory("%h", kNobodyHasThis);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code(), Code::kNotFound);
}

TEST(Keys, HaveDefaultsThatTheyAccept) {
  for (const Key& key : Keys()) {
    Config config;
    const std::string text = ValueText(key, config);
    EXPECT_TRUE(SetValue(key, text, config)) << key.section << "." << key.name << ": " << text;
    EXPECT_EQ(ValueText(key, config), text);
    EXPECT_FALSE(key.doc.empty());
  }
}

TEST(Load, AcceptsTheFileThatSitesBeginWith) {
  const auto config = Load(HOLDFAST_SOURCE_DIR "/slurm-conf/holdfast.yaml");
  EXPECT_TRUE(config) << config.error().message();
}

TEST(Reference, IsTheOneInTheDocumentation) {
  const auto page = ReadFile(HOLDFAST_SOURCE_DIR "/docs/operations/configuration.md");
  ASSERT_TRUE(page) << page.error().message();
  EXPECT_EQ(*page, Reference()) << "build the target config_reference";
}

}  // namespace
}  // namespace holdfast::config
