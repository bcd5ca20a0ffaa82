#include "pod/steps/mpi/pmi_server.h"

#include <gmock/gmock.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/files.h"

namespace holdfast::pod {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Host : public PmiHost {
 public:
  void Contribute(const Contribution& contribution) override {
    contributed.push_back(contribution);
  }
  void Complain(size_t, const std::string& line) override { complaints.push_back(line); }
  void Abort() override { aborted = true; }

  std::vector<Contribution> contributed;
  std::vector<std::string> complaints;
  bool aborted = false;
};

// Tasks 2 and 3 of four; the other node's are what the test delivers.
class PmiServerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = PmiServer::Open(
        {.name = "7.1", .tasks = {2, 3}, .size = 4, .mapping = "(vector,(0,2,2))"}, host_);
    ASSERT_TRUE(opened);
    server_.emplace(std::move(*opened));
    for (size_t i = 0; i < 2; ++i) {
      auto end = server_->Connect(i);
      ASSERT_TRUE(end);
      tasks_.push_back(std::move(*end));
    }
  }
  void Send(size_t task, std::string_view text) {
    ASSERT_TRUE(WriteFull(tasks_[task], AsBytes(text)));
    server_->Serve();
  }
  std::string Received(size_t task) {
    char buffer[4096];
    const ssize_t n = ::recv(tasks_[task].get(), buffer, sizeof buffer, MSG_DONTWAIT);
    return n > 0 ? std::string(buffer, static_cast<size_t>(n)) : n == 0 ? "end" : "";
  }
  std::string Ask(size_t task, std::string_view text) {
    Send(task, text);
    return Received(task);
  }
  void Answer() {
    const Contribution& last = host_.contributed.back();
    EXPECT_TRUE(server_->Deliver({.name = last.name, .data = last.data}));
  }

  Host host_;
  std::optional<PmiServer> server_;
  std::vector<UniqueFd> tasks_;
};

std::string Packet(std::string_view command, const std::vector<std::string>& fields = {}) {
  return PmiReply(PmiVersion::k2, command, fields);
}

TEST_F(PmiServerTest, SpeaksVersion1) {
  EXPECT_EQ(Ask(0, "cmd=init pmi_version=1 pmi_subversion=1\n"),
            "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0\n");
  EXPECT_EQ(Ask(0, "cmd=get_maxes\n"),
            "cmd=maxes rc=0 kvsname_max=256 keylen_max=64 vallen_max=1024\n");
  EXPECT_EQ(Ask(0, "cmd=get_my_kvsname\n"), "cmd=my_kvsname rc=0 kvsname=7.1\n");
  EXPECT_EQ(Ask(0, "cmd=get_universe_size\n"), "cmd=universe_size rc=0 size=4\n");
  EXPECT_EQ(Ask(0, "cmd=get kvsname=7.1 key=PMI_process_mapping\n"),
            "cmd=get_result rc=0 value=(vector,(0,2,2))\n");
  EXPECT_EQ(Ask(0, "cmd=get kvsname=7.1 key=a\n"), "cmd=get_result rc=1\n");
  EXPECT_EQ(Ask(1, "cmd=put kvsname=7.1 key=a value=b\n"), "cmd=put_result rc=0\n");
  EXPECT_EQ(Ask(1, "cmd=barrier_in\n"), "");
  EXPECT_TRUE(host_.contributed.empty());
  EXPECT_EQ(Ask(0, "cmd=barrier_in\n"), "");
  ASSERT_EQ(host_.contributed.size(), 1U);
  Answer();
  EXPECT_EQ(Received(0), "cmd=barrier_out rc=0\n");
  EXPECT_EQ(Received(1), "cmd=barrier_out rc=0\n");
  EXPECT_EQ(Ask(0, "cmd=get kvsname=7.1 key=a\n"), "cmd=get_result rc=0 value=b\n");
  EXPECT_EQ(Ask(0, "cmd=finalize\n"), "cmd=finalize_ack rc=0\n");
  EXPECT_EQ(Received(0), "end");
}

TEST_F(PmiServerTest, SpeaksVersion2) {
  EXPECT_EQ(Ask(1, "cmd=init pmi_version=2 pmi_subversion=0\n"),
            "cmd=response_to_init pmi_version=2 pmi_subversion=0 rc=0\n");
  EXPECT_THAT(Ask(1, Packet("fullinit", {"pmijobid=7.1", "pmirank=3", "threaded=FALSE"})),
              HasSubstr("rc=0;pmi-version=2;pmi-subversion=0;rank=3;size=4;"));
  EXPECT_EQ(Ask(1, Packet("job-getid")), Packet("job-getid-response", {"rc=0", "jobid=7.1"}));
  EXPECT_EQ(Ask(1, Packet("info-getjobattr", {"key=universeSize"})),
            Packet("info-getjobattr-response", {"rc=0", "found=TRUE", "value=4"}));
  EXPECT_EQ(Ask(1, Packet("kvs-put", {"key=k", "value=a b"})),
            Packet("kvs-put-response", {"rc=0"}));
  for (const size_t task : {0, 1}) EXPECT_EQ(Ask(task, Packet("kvs-fence")), "");
  Answer();
  EXPECT_EQ(Received(1), Packet("kvs-fence-response", {"rc=0"}));
  EXPECT_EQ(Received(0), Packet("kvs-fence-response", {"rc=0"}));
  EXPECT_EQ(Ask(0, Packet("kvs-get", {"jobid=7.1", "srcid=3", "key=k"})),
            Packet("kvs-get-response", {"rc=0", "found=TRUE", "value=a b"}));
  EXPECT_EQ(Ask(0, Packet("kvs-get", {"key=none"})),
            Packet("kvs-get-response", {"rc=0", "found=FALSE"}));
}

TEST_F(PmiServerTest, ATaskWaitsForAnAttributeOfItsNode) {
  EXPECT_EQ(Ask(0, Packet("info-getnodeattr", {"key=n", "wait=TRUE"})), "");
  EXPECT_EQ(Ask(1, Packet("info-putnodeattr", {"key=n", "value=v"})),
            Packet("info-putnodeattr-response", {"rc=0"}));
  EXPECT_EQ(Received(0), Packet("info-getnodeattr-response", {"rc=0", "found=TRUE", "value=v"}));
}

TEST_F(PmiServerTest, FencesFollowEachOther) {
  for (int round = 0; round < 3; ++round) {
    for (const size_t task : {0, 1}) Send(task, "cmd=barrier_in\n");
    ASSERT_EQ(host_.contributed.size(), static_cast<size_t>(round + 1));
    Answer();
    for (const size_t task : {0, 1}) EXPECT_EQ(Received(task), "cmd=barrier_out rc=0\n");
  }
  EXPECT_FALSE(server_->Deliver({.name = "pmi 0", .data = ""}));
  EXPECT_FALSE(server_->Deliver({.name = "pmix 0-3 1", .data = ""}));
}

TEST_F(PmiServerTest, AbortsAndRefusals) {
  Send(0, Packet("abort", {"isworld=FALSE"}));
  EXPECT_FALSE(host_.aborted);
  Send(0, "cmd=abort exitcode=3\n");
  EXPECT_TRUE(host_.aborted);
  EXPECT_THAT(Ask(0, "mcmd=spawn\ntotspawns=2\nspawnssofar=1\nendcmd\n"), "");
  EXPECT_THAT(Ask(0, "mcmd=spawn\ntotspawns=2\nspawnssofar=2\nendcmd\n"),
              HasSubstr("cmd=spawn_result rc=14"));
  EXPECT_THAT(Ask(0, Packet("spawn", {"ncmds=1"})), HasSubstr("cmd=spawn-response;rc=14"));
  EXPECT_THAT(Ask(0, "cmd=publish_name service=a port=b\n"), HasSubstr("cmd=publish_result rc=14"));
  EXPECT_THAT(Ask(0, Packet("name-lookup", {"name=a"})),
              HasSubstr("cmd=name-lookup-response;rc=14"));
  EXPECT_THAT(host_.complaints,
              ElementsAre(HasSubstr("MPI_Comm_spawn"), HasSubstr("MPI_Comm_spawn"),
                          HasSubstr("MPI_Publish_name"), HasSubstr("MPI_Publish_name")));
}

TEST_F(PmiServerTest, ATaskThatSendsGarbageHarmsNobodyElse) {
  Send(0, "nonsense, and much of it");
  EXPECT_EQ(Received(0), "end");
  EXPECT_EQ(host_.complaints.size(), 1U);
  EXPECT_THAT(Ask(1, "cmd=put key=" + std::string(65, 'k') + " value=v\n"),
              "cmd=put_result rc=5\n");
  EXPECT_THAT(Ask(1, "cmd=put key=k value=" + std::string(1025, 'v') + "\n"),
              "cmd=put_result rc=7\n");
  // Data of another daemon that is cut short.
  for (int i = 0; i < 2; ++i) Send(1, "cmd=barrier_in\n");
  EXPECT_TRUE(host_.contributed.empty());
  EXPECT_TRUE(server_->Deliver({.name = "pmi 0", .data = "\xff\xff"}));
  EXPECT_EQ(Received(1), "cmd=barrier_out rc=0\n");
}

// Who asks and does not read is not listened to, and has what is his when he does.
TEST_F(PmiServerTest, AnswersAreBounded) {
  const std::string ask = "cmd=get kvsname=7.1 key=PMI_process_mapping\n";
  size_t asked = 0;
  for (int idle = 0; idle < 100;) {
    const ssize_t n = ::send(tasks_[0].get(), ask.data(), ask.size(), MSG_DONTWAIT);
    ASSERT_TRUE(n < 0 || n == static_cast<ssize_t>(ask.size()));
    idle = n < 0 ? idle + 1 : 0;
    asked += n < 0 ? 0 : 1;
    server_->Serve();
  }
  size_t bytes = 0;
  const std::string answer = "cmd=get_result rc=0 value=(vector,(0,2,2))\n";
  for (std::string text; bytes < asked * answer.size(); bytes += text.size()) {
    server_->Serve();
    text = Received(0);
    ASSERT_NE(text, "end");
  }
  EXPECT_EQ(bytes, asked * answer.size());
}

}  // namespace
}  // namespace holdfast::pod
