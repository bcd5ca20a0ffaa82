#include "pod/steps/mpi/pmi_wire.h"

#include <gmock/gmock.h>

#include <random>

namespace holdfast::pod {
namespace {

using testing::Optional;

TEST(PmiWire, ReadsLinesOfVersion1) {
  std::string bytes = "cmd=put kvsname=1.0 key=a value=b=c\ncmd=barrier_in\ncmd=g";
  auto request = TakePmiRequest(bytes);
  ASSERT_TRUE(request && *request);
  EXPECT_EQ((*request)->version, PmiVersion::k1);
  EXPECT_EQ((*request)->command, "put");
  EXPECT_THAT((*request)->Field("value"), Optional(std::string_view("b=c")));
  EXPECT_EQ((*request)->Field("nothing"), std::nullopt);
  EXPECT_EQ((*TakePmiRequest(bytes))->command, "barrier_in");
  EXPECT_FALSE(TakePmiRequest(bytes)->has_value());
  EXPECT_EQ(bytes, "cmd=g");
}

TEST(PmiWire, ReadsPacketsOfVersion2) {
  const std::string packet = PmiReply(PmiVersion::k2, "kvs-put", {"key=a", "value=b c"});
  EXPECT_EQ(packet, "    28cmd=kvs-put;key=a;value=b c;");
  for (size_t size = 0; size < packet.size(); ++size) {
    std::string part = packet.substr(0, size);
    EXPECT_FALSE(TakePmiRequest(part)->has_value()) << size;
  }
  std::string bytes = packet + "cmd=init pmi_version=2 pmi_subversion=0\n";
  const auto request = TakePmiRequest(bytes);
  EXPECT_EQ((*request)->version, PmiVersion::k2);
  EXPECT_THAT((*request)->Field("value"), Optional(std::string_view("b c")));
  EXPECT_EQ((*TakePmiRequest(bytes))->version, PmiVersion::k1);
  EXPECT_TRUE(bytes.empty());
}

TEST(PmiWire, ReadsASpawnOfManyLines) {
  std::string bytes = "mcmd=spawn\nnprocs=2\nexecname=./a b\ntotspawns=1\nspawnssofar=1\nendcmd\n";
  const auto request = TakePmiRequest(bytes);
  ASSERT_TRUE(request && *request);
  EXPECT_EQ((*request)->command, "mcmd");
  EXPECT_THAT((*request)->Field("execname"), Optional(std::string_view("./a b")));
  EXPECT_TRUE(bytes.empty());
}

TEST(PmiWire, RefusesWhatCannotBecomeARequest) {
  for (std::string bytes : {std::string("hello!"), std::string("999999cmd=x;"),
                            std::string("     0cmd"), std::string("    -1cmd=x;"),
                            std::string("     4a=b;"), "cmd=" + std::string(kMaxPmiRequest, 'x'),
                            "mcmd=" + std::string(kMaxPmiRequest, '\n'), std::string("cmd=\n")})
    EXPECT_FALSE(TakePmiRequest(bytes)) << bytes.substr(0, 20);
}

TEST(PmiWire, SurvivesAnything) {
  std::mt19937 random(7);
  const std::string_view pieces[] = {"cmd=", "mcmd=", "endcmd\n", "\n", ";",
                                     " ",    "=",     "     9",   "x"};
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes;
    for (auto left = random() % 12; left > 0; --left) {
      bytes += pieces[random() % std::size(pieces)];
      if (random() % 8 == 0) bytes += static_cast<char>(random());
    }
    while (true) {
      const size_t before = bytes.size();
      const auto request = TakePmiRequest(bytes);
      if (!request || !*request) break;
      ASSERT_LT(bytes.size(), before);
      ASSERT_FALSE((*request)->command.empty());
    }
  }
}

}  // namespace
}  // namespace holdfast::pod
