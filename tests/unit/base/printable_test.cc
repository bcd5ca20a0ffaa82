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
            "\xc2\xa0 \\xc2");  // no-break space, cut off
}

TEST(Printable, BytesThatAreNoUtf8AreEscaped) {
  EXPECT_EQ(Printable("/tmp/\xff\xfe.txt", Newlines::kEscape), "/tmp/\\xff\\xfe.txt");
  // Longer than need be, a surrogate, beyond the last character; and those beside them.
  EXPECT_EQ(Printable("\xe0\x9f\xbf", Newlines::kEscape), "\\xe0\\x9f\\xbf");
  EXPECT_EQ(Printable("\xed\xa0\x80", Newlines::kEscape), "\\xed\\xa0\\x80");
  EXPECT_EQ(Printable("\xf4\x90\x80\x80", Newlines::kEscape), "\\xf4\\x90\\x80\\x80");
  for (const char* text : {"\xe0\xa0\x80", "\xed\x9f\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"})
    EXPECT_EQ(Printable(text, Newlines::kEscape), text);
}

TEST(Printable, NewlinesStayWhereTheyMay) {
  EXPECT_EQ(Printable("one\ntwo", Newlines::kKeep), "one\ntwo");
  EXPECT_EQ(Printable("one\ntwo", Newlines::kEscape), "one\\ntwo");
}

}  // namespace
}  // namespace holdfast
