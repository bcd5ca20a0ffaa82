// The REST API's server beside a coordinator, for the tests of both.
#pragma once

#include <memory>

#include "coordinator/rest_server.h"
#include "tests/unit/coordinator/harness.h"

namespace holdfast::coordinator {

class RestTest : public CoordinatorTest {
 protected:
  void SetUp() override {
    CoordinatorTest::SetUp();
    server_ = std::make_unique<RestServer>(*controller_, slurm_, authenticator_, metrics_);
    ASSERT_TRUE(server_->Listen("127.0.0.1", 0));
  }
  void TearDown() override {
    server_.reset();
    CoordinatorTest::TearDown();
  }

  std::unique_ptr<RestServer> server_;
};

}  // namespace holdfast::coordinator
