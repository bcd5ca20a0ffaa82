#include <cstdlib>
#include <iostream>

#include "cli/commands.h"

int main(int argc, char** argv) {
  using namespace holdfast;
  cli::Environment environment{
      .out = std::cout, .err = std::cerr, .connect = [](const config::Config& config) {
        // A save takes as long as it takes; the coordinator gives up before we do.
        return std::make_unique<cli::Client>(config.coordinator.host, config.coordinator.rest_port,
                                             config.checkpoint.timeout + std::chrono::seconds(60),
                                             cli::Client::OfUser(config.coordinator.user));
      }};
  if (const char* path = std::getenv("HOLDFAST_CONFIG")) environment.config_path = path;
  return static_cast<int>(cli::Run({argv + 1, argv + argc}, environment));
}
