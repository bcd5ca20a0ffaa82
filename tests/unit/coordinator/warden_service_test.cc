#include "coordinator/warden_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/coordinator/harness.h"

namespace holdfast::coordinator {
namespace {

using ::testing::HasSubstr;

class WardenServiceTest : public CoordinatorTest {
 protected:
  std::string RefusalOf(v1::Hello hello, const std::string& credential = "") {
    FakeWarden warden(address(), storage_, std::move(hello), credential);
    Eventually([&] { return !warden.refusal().empty(); });
    return warden.refusal();
  }
};

TEST_F(WardenServiceTest, RefusesAnotherProtocol) {
  slurm_.Run(kJob, kUser, {"n1"});
  v1::Hello hello = MakeHello(kJob, 0, 0, {"n1"}, kUser);
  hello.set_protocol(99);
  EXPECT_THAT(RefusalOf(hello), HasSubstr("speaks protocol 99"));
  EXPECT_FALSE(controller_->Find(kJob));
}

TEST_F(WardenServiceTest, RefusesAJobThatSlurmDoesNotKnow) {
  EXPECT_THAT(RefusalOf(MakeHello(kJob, 0, 0, {"n1"}, kUser)), HasSubstr("does not know the job"));
}

TEST_F(WardenServiceTest, RefusesWhoIsNotRoot) {
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
