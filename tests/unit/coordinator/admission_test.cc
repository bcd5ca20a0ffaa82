#include "coordinator/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/coordinator/harness.h"

namespace holdfast::coordinator {
namespace {

using ::testing::HasSubstr;

Record RunningRecord() {
  return Record{.state = Record::State::kRunning,
                .state_name = "RUNNING",
                .restart_count = 1,
                .uid = 1000,
                .nodes = {"n1", "n2"}};
}

TEST(CheckHello, AcceptsWhatSlurmBearsOut) {
  EXPECT_TRUE(CheckHello(MakeHello(5, 1, 1, {"n1", "n2"}, 1000), RunningRecord()));
}

TEST(CheckHello, RefusesWhatSlurmDoesNot) {
  const v1::Hello good = MakeHello(5, 1, 1, {"n1", "n2"}, 1000);
  const auto refusal = [](const v1::Hello& hello, const Record& record) {
    const Status checked = CheckHello(hello, record);
    return checked ? std::string("accepted") : checked.error().message();
  };
  Record record = RunningRecord();
  record.state = Record::State::kGone;
  EXPECT_THAT(refusal(good, record), HasSubstr("does not know"));
  record = RunningRecord();
  record.state = Record::State::kTerminal;
  record.state_name = "CANCELLED";
  EXPECT_THAT(refusal(good, record), HasSubstr("CANCELLED"));
  EXPECT_THAT(refusal(MakeHello(5, 0, 1, {"n1", "n2"}, 1000), RunningRecord()),
              HasSubstr("start 0"));
  EXPECT_THAT(refusal(MakeHello(5, 1, 1, {"n1", "n2"}, 1001), RunningRecord()),
              HasSubstr("uid 1000"));
  EXPECT_THAT(refusal(MakeHello(5, 1, 1, {"n1", "n3"}, 1000), RunningRecord()),
              HasSubstr("not node 1"));
  EXPECT_THAT(refusal(MakeHello(5, 1, 2, {"n1", "n2", "n3"}, 1000), RunningRecord()),
              HasSubstr("of the job's 2"));
  EXPECT_EQ(refusal(MakeHello(5, 1, 2, {"n1", "n1", "n2"}, 1000), RunningRecord()), "accepted")
      << "two of its pods on one node";
}

TEST(CheckHello, LetsAPodOfAJobBeingRequeuedReconnect) {
  v1::Hello hello = MakeHello(5, 1, 1, {"n1", "n2"}, 1000);
  hello.set_phase(v1::PHASE_RELEASED);
  Record record = RunningRecord();
  record.state = Record::State::kPending;
  record.nodes.clear();
  EXPECT_TRUE(CheckHello(hello, record));
}

class AdmissionTest : public CoordinatorTest {
 protected:
  std::string RefusalOf(v1::Hello hello, const std::string& credential = "") {
    FakeWarden warden(address(), storage_, std::move(hello), credential);
    Eventually([&] { return !warden.refusal().empty(); });
    return warden.refusal();
  }
};

TEST_F(AdmissionTest, RefusesAnotherProtocol) {
  slurm_.Run(kJob, kUser, {"n1"});
  v1::Hello hello = MakeHello(kJob, 0, 0, {"n1"}, kUser);
  hello.set_protocol(99);
  EXPECT_THAT(RefusalOf(hello), HasSubstr("speaks protocol 99"));
  EXPECT_FALSE(controller_->Find(kJob));
}

TEST_F(AdmissionTest, RefusesAJobThatSlurmDoesNotKnow) {
  EXPECT_THAT(RefusalOf(MakeHello(kJob, 0, 0, {"n1"}, kUser)), HasSubstr("does not know the job"));
}

// Two clusters, and the settings of one on the nodes of the other.
TEST_F(AdmissionTest, RefusesAnotherClustersNode) {
  slurm_.Run(kJob, kUser, {"n1"});
  v1::Hello hello = MakeHello(kJob, 0, 0, {"n1"}, kUser);
  hello.set_cluster("other");
  EXPECT_THAT(RefusalOf(hello), HasSubstr("is of cluster other, and this is the coordinator of "
                                          "cluster lab: let coordinator.host"));
  EXPECT_FALSE(controller_->Find(kJob));
  hello.set_cluster("lab");
  FakeWarden warden(address(), storage_, hello);
  EXPECT_TRUE(Reaches(Stage::kRunning));
}

TEST_F(AdmissionTest, RefusesWhoIsNotRoot) {
  slurm_.Run(kJob, kUser, {"n1"});
  FakeWarden warden(address(), storage_, MakeHello(kJob, 0, 0, {"n1"}, kUser));
  ASSERT_TRUE(Reaches(Stage::kRunning));
  EXPECT_THAT(RefusalOf(MakeHello(kJob, 0, 0, {"n1"}, kUser), "1000:anything"),
              HasSubstr("not root's"));
  EXPECT_EQ(warden.phase(), v1::PHASE_RUNNING) << "the real one is not disturbed";
  EXPECT_TRUE(Get().can_save());
}

}  // namespace
}  // namespace holdfast::coordinator
