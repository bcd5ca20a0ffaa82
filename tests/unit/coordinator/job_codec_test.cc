#include "coordinator/job_codec.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "protocol/journal.pb.h"

namespace holdfast::coordinator {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using ::testing::HasSubstr;

// Gives every field, of the messages within too, a value that is not its default. Small numbers, so
// that they are also stages and reasons.
void Fill(Message& message, int& next) {
  const auto* reflection = message.GetReflection();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor* field = message.GetDescriptor()->field(i);
    const int n = 1 + next++ % 3;
    if (field->is_repeated()) {
      if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING)
        reflection->AddString(&message, field, std::to_string(n));
      else if (field->cpp_type() == FieldDescriptor::CPPTYPE_UINT32)
        reflection->AddUInt32(&message, field, static_cast<uint32_t>(n));
      else
        Fill(*reflection->AddMessage(&message, field), next);
      continue;
    }
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_BOOL:
        reflection->SetBool(&message, field, true);
        break;
      case FieldDescriptor::CPPTYPE_INT32:
        reflection->SetInt32(&message, field, n % 3);
        break;
      case FieldDescriptor::CPPTYPE_UINT32:
        reflection->SetUInt32(&message, field, static_cast<uint32_t>(n));
        break;
      case FieldDescriptor::CPPTYPE_INT64:
        reflection->SetInt64(&message, field, n);
        break;
      case FieldDescriptor::CPPTYPE_UINT64:
        reflection->SetUInt64(&message, field, static_cast<uint64_t>(n));
        break;
      case FieldDescriptor::CPPTYPE_DOUBLE:
        reflection->SetDouble(&message, field, n);
        break;
      case FieldDescriptor::CPPTYPE_STRING:
        reflection->SetString(&message, field, std::to_string(n));
        break;
      case FieldDescriptor::CPPTYPE_MESSAGE:
        Fill(*reflection->MutableMessage(&message, field), next);
        break;
      default:
        FAIL() << field->full_name() << ": a kind of field that the codec does not know";
    }
  }
}

// Three rounds, so that every field has every value once, and two that were swapped are seen.
TEST(JobCodec, CarriesEveryFieldOfTheMessage) {
  for (int round = 0; round < 3; ++round) {
    journal::v1::Entry entry;
    int next = round;
    Fill(*entry.mutable_job(), next);
    entry.set_version(2);
    entry.mutable_job()->clear_options_of_version_1();
    entry.mutable_job()->set_options(EncodeOptions({.keep = 1U + round}));
    const auto job = ParseJob(entry.SerializeAsString());
    ASSERT_TRUE(job) << job.error().message();
    journal::v1::Entry again;
    ASSERT_TRUE(again.ParseFromString(Serialize(*job)));
    google::protobuf::util::MessageDifferencer differencer;
    std::string difference;
    differencer.ReportDifferencesToString(&difference);
    EXPECT_TRUE(differencer.Compare(entry, again)) << difference;
  }
}

TEST(JobCodec, RefusesWhatIsNoJob) {
  EXPECT_EQ(ParseJob("").error().code(), Code::kCorrupt);
  EXPECT_EQ(ParseJob("\xff").error().code(), Code::kCorrupt);
  const std::string whole = Serialize(Durable{.id = 7, .hostnames = {"n1", "n2"}});
  EXPECT_EQ(ParseJob(whole.substr(0, whole.size() - 1)).error().code(), Code::kCorrupt);
}

TEST(JobCodec, RefusesNumbersThatItDoesNotKnow) {
  EXPECT_THAT(ParseJob(Serialize(Durable{.stage = static_cast<Stage>(99)})).error().message(),
              HasSubstr("stage 99"));
  EXPECT_FALSE(ParseMove(Serialize(Move{.reason = static_cast<Reason>(-1)})));
  EXPECT_FALSE(ParseCheckpoint(Serialize(Checkpoint{.how = static_cast<v1::Settle::How>(9)})));
}

TEST(JobCodec, RefusesANewerVersion) {
  journal::v1::Entry entry;
  entry.set_version(3);
  entry.mutable_job()->set_id(7);
  EXPECT_EQ(ParseJob(entry.SerializeAsString()).error().code(), Code::kUnsupported);
}

TEST(JobCodec, ReadsTheOptionsOfVersion1) {
  journal::v1::Entry entry;
  entry.set_version(1);
  entry.mutable_job()->set_id(7);
  v1::Options& old = *entry.mutable_job()->mutable_options_of_version_1();
  old.set_interval_seconds(600);
  old.set_directory("gs://bucket/x");
  old.set_keep(3);
  old.set_restore_from("41:3");
  old.set_files("/a:/b");
  old.set_rollback("append");
  const auto job = ParseJob(entry.SerializeAsString());
  ASSERT_TRUE(job) << job.error().message();
  EXPECT_EQ(job->options, (JobOptions{.checkpoint = true,
                                      .interval = Interval{.every = std::chrono::seconds(600)},
                                      .directory = "gs://bucket/x",
                                      .keep = 3,
                                      .restore_from = CheckpointName{.job = 41, .checkpoint = 3},
                                      .files = {"/a", "/b"},
                                      .rollback = RollbackPolicy::kAppend}));
  const auto again = ParseJob(Serialize(*job));
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(again->options, job->options);
}

TEST(JobCodec, RefusesOptionsThatAreNotAccepted) {
  journal::v1::Entry entry;
  entry.set_version(2);
  entry.mutable_job()->set_options("holdfast-options 1\ncheckpoint-keep=0\n");
  EXPECT_THAT(ParseJob(entry.SerializeAsString()).error().message(), HasSubstr("checkpoint-keep"));
  entry.set_version(1);
  entry.mutable_job()->mutable_options_of_version_1()->set_rollback("some");
  EXPECT_THAT(ParseJob(entry.SerializeAsString()).error().message(), HasSubstr("rollback=some"));
}

// A warden that was started before the coordinator was upgraded.
TEST(JobCodec, AHelloMayHaveOptionsOfBefore) {
  v1::Hello hello;
  hello.mutable_options()->set_auto_interval(true);
  hello.mutable_options()->set_keep(4);
  auto options = OptionsOf(hello);
  ASSERT_TRUE(options) << options.error().message();
  EXPECT_EQ(options->interval, Interval{.automatic = true});
  EXPECT_EQ(options->keep, 4U);
  hello.set_job_options(EncodeOptions({.keep = 5}));
  EXPECT_EQ(OptionsOf(hello)->keep, 5U);
}

TEST(JobCodec, ReasonsHaveNames) {
  for (int i = 0; i <= static_cast<int>(Reason::kTimeLimit); ++i)
    EXPECT_EQ(ReasonFromName(ReasonName(static_cast<Reason>(i))), static_cast<Reason>(i));
  EXPECT_EQ(ReasonFromName("of old"), Reason::kNone);
}

}  // namespace
}  // namespace holdfast::coordinator
