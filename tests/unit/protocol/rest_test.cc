#include "protocol/rest.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace holdfast::protocol {
namespace {

TEST(RestPurpose, IsStable) {
  // BLAKE2b-256 of nothing, as b2sum -l 256 prints it.
  EXPECT_EQ(RestPurpose("GET", "/v1/jobs", ""),
            "holdfast-rest GET /v1/jobs "
            "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
}

TEST(RestPurpose, DependsOnEverything) {
  const std::string purpose = RestPurpose("POST", "/v1/jobs/1/save", "{}");
  EXPECT_NE(purpose, RestPurpose("GET", "/v1/jobs/1/save", "{}"));
  EXPECT_NE(purpose, RestPurpose("POST", "/v1/jobs/2/save", "{}"));
  EXPECT_NE(purpose, RestPurpose("POST", "/v1/jobs/1/save?wait=1", "{}"));
  EXPECT_NE(purpose, RestPurpose("POST", "/v1/jobs/1/save", "{\"stop\":true}"));
}

TEST(AnswerPurpose, DependsOnEverything) {
  const std::string purpose = AnswerPurpose("MUNGE:1:", 200, "{}");
  EXPECT_TRUE(purpose.starts_with("holdfast-rest-answer 200 "));
  EXPECT_NE(purpose, AnswerPurpose("MUNGE:2:", 200, "{}"));
  EXPECT_NE(purpose, AnswerPurpose("MUNGE:1:", 404, "{}"));
  EXPECT_NE(purpose, AnswerPurpose("MUNGE:1:", 200, "[]"));
}

TEST(ToText, TakesAnyBytes) {
  EXPECT_EQ(ToText({{"error", "/tmp/\xff: no\n"}}), "{\"error\":\"/tmp/\xef\xbf\xbd: no\\n\"}");
  EXPECT_EQ(ToText({{"a", 1}}, 2), "{\n  \"a\": 1\n}");
}

}  // namespace
}  // namespace holdfast::protocol
