#include "base/printable.h"

#include <gtest/gtest.h>

namespace holdfast {
namespace {

TEST(Printable, TextStaysAsItIs) {
  EXPECT_EQ(Printable("process 7 (python3): 100% größer", Newlines::kEscape),
            "process 7 (python3): 100% größer");
}

TEST(Printable, ControlCharactersAreEscaped) {
  EXPECT_EQ(Printable("a\x1b[31mred\r\t\x7f", Newlines::kEscape), "a\\x1b[31mred\\x0d\\x09\\x7f");
  EXPECT_EQ(Printable(std::string_view("\0", 1), Newlines::kEscape), "\\x00");
}

TEST(Printable, SoAreThoseOfUtf8) {
  EXPECT_EQ(Printable("\xc2\x9b"
                      "31m",
                      Newlines::kEscape),
            "\\xc2\\x9b"
            "31m");
  EXPECT_EQ(Printable("\xc2\xa0 \xc2", Newlines::kEscape),
            "\xc2\xa0 \xc2");  // no-break space, cut off
}

TEST(Printable, NewlinesStayWhereTheyMay) {
  EXPECT_EQ(Printable("one\ntwo", Newlines::kKeep), "one\ntwo");
  EXPECT_EQ(Printable("one\ntwo", Newlines::kEscape), "one\\ntwo");
}

}  // namespace
}  // namespace holdfast
