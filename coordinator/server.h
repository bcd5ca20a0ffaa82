// The coordinator put together from the site's settings. Used by main.
#pragma once

#include <memory>

#include "base/result.h"
#include "config/config.h"

namespace holdfast::coordinator {

class Server {
 public:
  // Checks that it runs as the configured user, opens the journal, reaches for Slurm and listens.
  static Result<std::unique_ptr<Server>> Start(const config::Config& config);
  // Stops listening; jobs run on, and their wardens come back to the next one.
  ~Server();

 private:
  struct Parts;
  explicit Server(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace holdfast::coordinator
