#include "coordinator/why.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/unit/coordinator/world.h"

namespace holdfast::coordinator {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

class WhyTest : public ::testing::Test {
 protected:
  void Run() {
    world.StartJob();
    world.Settle();
    ASSERT_EQ(world.job.stage, Stage::kRunning);
  }
  Status Save(bool stop = false) {
    return world.Happen(Wish{.reason = Reason::kSave, .stop = stop, .hold = stop});
  }
  // As the journal would have it.
  History Told() const {
    History history{.checkpoints = {}, .moves = moves, .events = world.events};
    std::map<uint32_t, Checkpoint> newest;
    for (const Checkpoint& checkpoint : world.history) newest[checkpoint.number] = checkpoint;
    for (const auto& [number, checkpoint] : newest) history.checkpoints.push_back(checkpoint);
    return history;
  }
  // The first about that; an empty one if there is none.
  Explanation About(std::string_view about) const {
    for (const Explanation& each : Explain(world.job, Told()))
      if (each.about == about) return each;
    return {};
  }
  Explanation Last(std::string_view about, std::string_view reason) const {
    Explanation found{};
    for (const Explanation& each : Explain(world.job, Told()))
      if (each.about == about && each.reason == reason) found = each;
    return found;
  }
  void FailSave(const std::string& code, const std::string& message) {
    ASSERT_TRUE(Save());
    v1::Failed failed;
    failed.set_phase(v1::PHASE_PREPARING);
    failed.set_code(code);
    failed.set_message(message);
    failed.set_checkpoint(world.job.checkpoint->number);
    ASSERT_TRUE(world.Happen(failed, 0));
    world.Settle();
  }

  World world{2};
  std::vector<Move> moves;
};

TEST_F(WhyTest, AJobThatWaitsForItsNodesNamesThem) {
  world.StartJob();
  world.Connect(1);
  EXPECT_EQ(About("waits").reason, "gathering");
  EXPECT_THAT(About("waits").text, HasSubstr("pod 0"));
  EXPECT_THAT(About("waits").text, Not(HasSubstr("pod 1")));
  EXPECT_EQ(About("saved").reason, "not-yet");
}

TEST_F(WhyTest, ARunningJobSaysWhatItGoesBackToAndWaitsForNothing) {
  Run();
  EXPECT_EQ(About("saved").next, "holdfast save 7");
  EXPECT_EQ(About("waits").text, "");
  ASSERT_TRUE(Save());
  world.Settle();
  EXPECT_EQ(About("saved").reason, "save");
  EXPECT_THAT(About("saved").text, HasSubstr("checkpoint 1 is what it goes back to"));
  EXPECT_EQ(About("saved").next, "");
  EXPECT_NE(About("saved").unix_ns, 0);
}

TEST_F(WhyTest, AFailedSaveHasItsRemedyInItsFirstLine) {
  Run();
  FailSave("unsupported",
           "the job cannot be saved now\n  why:  process 5 (x) is traced\n  next: run it without "
           "strace\n  log: there");
  EXPECT_THAT(world.job.last_error,
              StartsWith("checkpoint 1: pod 0 on n1: the job cannot be saved now; next: run it "
                         "without strace\n  why:  process 5 (x) is traced\n  log: there"));
  EXPECT_EQ(About("saved").reason, "unsupported");
  EXPECT_EQ(About("saved").next, "run it without strace");
  EXPECT_THAT(About("saved").text, Not(HasSubstr("next:")));
}

TEST_F(WhyTest, AFailureWithoutARemedyGetsThatOfItsCode) {
  Run();
  FailSave("no-space", "No space left on device");
  EXPECT_EQ(About("saved").reason, "no-space");
  EXPECT_THAT(About("saved").next, HasSubstr("make room"));
  EXPECT_THAT(world.job.last_error, HasSubstr("; next: make room"));
}

TEST_F(WhyTest, EveryRefusalSaysWhatCanBeDoneInItsFirstLine) {
  const auto refusal = [this] {
    const Status refused = Save();
    EXPECT_FALSE(refused);
    return refused ? std::string() : refused.error().message();
  };
  world.StartJob();
  EXPECT_EQ(refusal(), "job 7: it has not started yet; next: save it when it runs");
  world.Settle();
  world.Disconnect(1);
  EXPECT_EQ(refusal(), "job 7: nothing is heard of pod 1 on n2; next: try again in a moment");
  world.Connect(1);
  ASSERT_TRUE(Save());
  EXPECT_EQ(refusal(),
            "job 7: checkpoint 1 (save) is in progress; next: holdfast show 7 follows it");
  world.Settle();
  world.job.suspended = true;
  EXPECT_EQ(refusal(), "job 7: Slurm has suspended it; next: save it when Slurm lets it go on");
  world.job.suspended = false;
  ASSERT_TRUE(Save(true));
  world.Settle();
  ASSERT_EQ(world.job.stage, Stage::kLeaving);
  EXPECT_EQ(refusal(), "job 7: it is on its way to other nodes; next: save it when it runs again");
  world.Vacate();
  ASSERT_EQ(world.job.stage, Stage::kHeld);
  EXPECT_EQ(refusal(), "job 7: it is held, and nothing of it runs; next: holdfast resume 7");
}

TEST_F(WhyTest, AJobThatIsNotHeldIsNotResumed) {
  Run();
  const Status refused = world.Happen(Resume{});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("it is running"));
  EXPECT_EQ(world.job.stage, Stage::kRunning);
}

TEST_F(WhyTest, AJobThatIsHeldOnRequestSaysHowItGoesOn) {
  Run();
  ASSERT_TRUE(Save(true));
  world.Settle();
  world.Vacate();
  ASSERT_EQ(world.job.stage, Stage::kHeld);
  EXPECT_EQ(About("held").reason, "save");
  EXPECT_EQ(About("held").next, "holdfast resume 7");
}

TEST_F(WhyTest, AJobThatCouldNotGoOnSaysWhyItIsHeld) {
  Run();
  world.job.last_error = "no committed checkpoint to restore";
  world.job.stage = Stage::kHeld;
  EXPECT_EQ(About("held").reason, "hold");
  EXPECT_EQ(About("held").text, "no committed checkpoint to restore");
  EXPECT_THAT(About("held").next, HasSubstr("--from-start"));
}

TEST_F(WhyTest, TheQueueIsSlurmsToExplain) {
  Run();
  world.job.stage = Stage::kWaiting;
  world.job.queued_for = "Resources";
  world.job.exclusions.next = {"n3"};
  EXPECT_THAT(About("waits").text, HasSubstr("Slurm's queue: Resources"));
  EXPECT_THAT(Last("waits", "excluded-nodes").text, HasSubstr("n3"));
}

TEST_F(WhyTest, AMoveSaysWhyAndWhatWasSeen) {
  Run();
  moves.push_back({.number = 1,
                   .checkpoint = 3,
                   .reason = Reason::kRestore,
                   .from = {"n1", "n2"},
                   .to = {"n3", "n4"},
                   .left_ns = 10,
                   .running_ns = 20});
  world.events.push_back({.name = "restore-failed", .unix_ns = 9, .detail = "criu is missing"});
  world.events.push_back({.name = "restore-failed", .unix_ns = 11, .detail = "of the next start"});
  EXPECT_EQ(About("moved").reason, "restore");
  EXPECT_EQ(About("moved").text,
            "it left n1,n2 because it could not be restored there: criu is missing; it went on on "
            "n3,n4 from checkpoint 3");
}

TEST_F(WhyTest, EveryReasonHasWordsOfItsOwn) {
  std::set<std::string> words;
  for (int reason = 0; reason <= static_cast<int>(Reason::kTimeLimit); ++reason) {
    EXPECT_TRUE(words.insert(ReasonWords(static_cast<Reason>(reason))).second);
    EXPECT_EQ(ReasonFromName(ReasonName(static_cast<Reason>(reason))), static_cast<Reason>(reason));
  }
  EXPECT_EQ(ReasonFromName("nonsense"), Reason::kNone);
}

TEST(Remedy, IsFoundTakenOutAndPutIntoTheFirstLine) {
  EXPECT_THAT(RemedyIn("nothing to do"), IsEmpty());
  EXPECT_EQ(RemedyIn("a; next: b\nc"), "b");
  EXPECT_EQ(WithoutRemedy("a; next: b\nc"), "a\nc");
  EXPECT_EQ(WithoutRemedy("a\n  next: b\n  log: c"), "a\n  log: c");
  EXPECT_EQ(RemedyFirst("a\n  why: w\n  next: b", Code::kTimeout), "a; next: b\n  why: w");
  EXPECT_EQ(RemedyFirst("a", Code::kCancelled), "a");
  // What a process calls itself is no remedy.
  const std::string first =
      RemedyFirst("cannot\n  why:  process 5 (x; next: ls) waits\n  next: end it", Code::kTimeout);
  EXPECT_EQ(first, "cannot; next: end it\n  why:  process 5 (x; next: ls) waits");
  EXPECT_EQ(RemedyIn(first), "end it");
  EXPECT_EQ(RemedyIn("process (x; next: ls) waits; next: end it"), "end it");
  EXPECT_EQ(RemedyIn("process (x\\n  next: ls) waits"), "");
}

}  // namespace
}  // namespace holdfast::coordinator
