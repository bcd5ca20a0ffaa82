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
  // Goes by what has been read anew, as far as that can be without a restart, and says in the log
  // what counts now, and what does not yet.
  void Reload(const config::Config& read);
  // Stops listening; jobs run on, and their wardens come back to the next one.
  ~Server();

 private:
  struct Parts;
  Server(std::unique_ptr<Parts> parts, const config::Config& config);
  std::unique_ptr<Parts> parts_;
  config::Config config_;  // that it runs with
};

}  // namespace holdfast::coordinator
