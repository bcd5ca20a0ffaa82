#include <gtest/gtest.h>

#include "protocol/holdfast.pb.h"
#include "protocol/journal.pb.h"

namespace holdfast {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

void ExpectNoStrings(const Descriptor& message) {
  for (int i = 0; i < message.field_count(); ++i)
    EXPECT_NE(message.field(i)->type(), FieldDescriptor::TYPE_STRING)
        << message.field(i)->full_name();
  for (int i = 0; i < message.nested_type_count(); ++i) ExpectNoStrings(*message.nested_type(i));
}

TEST(Messages, HoldAnyBytes) {
  for (const auto* file :
       {v1::FromWarden::descriptor()->file(), journal::v1::Entry::descriptor()->file()})
    for (int i = 0; i < file->message_type_count(); ++i) ExpectNoStrings(*file->message_type(i));

  v1::FromWarden message;
  message.mutable_prepared()->mutable_part()->add_files()->set_path("/home/alice/\xff\xfe\n");
  v1::FromWarden read;
  ASSERT_TRUE(read.ParseFromString(message.SerializeAsString()));
  EXPECT_EQ(read.prepared().part().files(0).path(), "/home/alice/\xff\xfe\n");
}

}  // namespace
}  // namespace holdfast
