#include "pod/capture.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include "base/files.h"
#include "pod/batch.h"

namespace holdfast::pod {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ScriptEnvironment, HasNothingOfOurs) {
  const char* const environment[] = {"A=1",
                                     "HOLDFAST_POD_STEP=x",
                                     "SLURM_HOLDFAST_WARNING=60",
                                     "HOLDFAST_TASK_FD=9",
                                     "SLURM_SPANK__SLURM_SPANK_OPTION_holdfast_checkpoint=on",
                                     "HOLDFAST_CHECKPOINT=on",
                                     "SLURM_OPEN_MODE=a",
                                     nullptr};
  EXPECT_THAT(ScriptEnvironment(environment),
              ElementsAre("A=1", "HOLDFAST_CHECKPOINT=on", "SLURM_OPEN_MODE=a"));
}

TEST(ScriptEnvironment, DoesNotTellOfAnOpenModeThatThePluginChose) {
  const char* const environment[] = {"SLURM_OPEN_MODE=a", "SLURM_HOLDFAST_OPEN_MODE=truncate",
                                     nullptr};
  EXPECT_THAT(ScriptEnvironment(environment), ElementsAre());
  const char* const asked[] = {"SLURM_OPEN_MODE=a", "SLURM_HOLDFAST_OPEN_MODE=t", nullptr};
  EXPECT_THAT(ScriptEnvironment(asked), ElementsAre("SLURM_OPEN_MODE=t")) << "the user's own";
}

// Descriptors 0 to 2 are named in messages.
class PathOfDescriptorTest : public ::testing::Test {
 protected:
  void SetUp() override { saved_ = ::dup(0); }
  void TearDown() override {
    ::dup2(saved_, 0);
    ::close(saved_);
  }
  static void MakeInput(const UniqueFd& fd) { ASSERT_EQ(::dup2(fd.get(), 0), 0); }

 private:
  int saved_ = -1;
};

TEST_F(PathOfDescriptorTest, IsTheNameOfAFile) {
  char name[] = "/var/tmp/holdfast-capture-test-XXXXXX";
  MakeInput(UniqueFd(::mkstemp(name)));
  const auto path = PathOfDescriptor(0);
  ASSERT_TRUE(path) << path.error().message();
  EXPECT_EQ(*path, name);
  ::unlink(name);
  EXPECT_FALSE(PathOfDescriptor(0)) << "gone";
}

TEST_F(PathOfDescriptorTest, RefusesPipesAndPrivateDirectories) {
  auto pipe = MakePipe();
  ASSERT_TRUE(pipe);
  MakeInput(pipe->read_end);
  const auto of_pipe = PathOfDescriptor(0);
  ASSERT_FALSE(of_pipe);
  EXPECT_THAT(of_pipe.error().message(), HasSubstr("--input"));

  char name[] = "/tmp/holdfast-capture-test-XXXXXX";
  MakeInput(UniqueFd(::mkstemp(name)));
  const auto in_tmp = PathOfDescriptor(0);
  ::unlink(name);
  ASSERT_FALSE(in_tmp);
  EXPECT_THAT(in_tmp.error().message(), HasSubstr("shared filesystem"));
}

TEST_F(PathOfDescriptorTest, TakesDevNull) {
  const auto null = OpenFile("/dev/null", O_RDONLY);
  ASSERT_TRUE(null);
  MakeInput(*null);
  EXPECT_EQ(PathOfDescriptor(0).value_or(""), "/dev/null");
}

}  // namespace
}  // namespace holdfast::pod
