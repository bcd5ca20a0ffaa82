#include "base/result.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace holdfast {
namespace {

Result<int> Half(int n) {
  if (n % 2 != 0) return Fail(Code::kInvalid, "odd");
  return n / 2;
}

Result<int> Quarter(int n) {
  HOLDFAST_TRY(const int half, Half(n));
  HOLDFAST_TRY(const int quarter, Half(half));
  return quarter;
}

TEST(Result, TryReturnsTheFirstError) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_EQ(Quarter(6).error().code(), Code::kInvalid);
}

TEST(Error, ErrnoBecomesCodeAndText) {
  const Error error = Error::FromErrno("writing /ckpt/1", ENOSPC);
  EXPECT_EQ(error.code(), Code::kNoSpace);
  EXPECT_EQ(error.errno_value(), ENOSPC);
  EXPECT_EQ(error.message(), "writing /ckpt/1: No space left on device");
}

TEST(Error, WrapReadsFromTheOutside) {
  const Error error = Error(Code::kDenied, "open: no").Wrap("saving checkpoint 3");
  EXPECT_EQ(error.message(), "saving checkpoint 3: open: no");
  EXPECT_EQ(error.code(), Code::kDenied);
}

TEST(Code, NamesAreReadBack) {
  for (int i = 0; i <= static_cast<int>(Code::kUnfit); ++i) {
    const Code code = static_cast<Code>(i);
    EXPECT_EQ(CodeFromName(CodeName(code)), code) << CodeName(code);
  }
  EXPECT_EQ(CodeFromName("from-the-future"), Code::kInternal);
}

}  // namespace
}  // namespace holdfast
