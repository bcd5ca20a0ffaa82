// holdfast-fake-gcs: the fake Cloud Storage by itself, for the lab.
//   holdfast-fake-gcs [--port N] [--address A] [--bucket NAME]... [--token TEXT]... [--faults JSON]
// Prints its URL, which is what STORAGE_EMULATOR_HOST takes, and serves until it is killed.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "tests/fakes/gcs_server.h"

int main(int argc, char** argv) {
  using holdfast::fakes::GcsServer;
  GcsServer::Options options;
  GcsServer::Faults faults;
  options.buckets.clear();
  for (int i = 1; i < argc; i += 2) {
    const std::string option = argv[i], value = i + 1 < argc ? argv[i + 1] : "";
    bool fine = i + 1 < argc;
    if (option == "--port") {
      options.port = static_cast<uint16_t>(std::atoi(value.c_str()));
    } else if (option == "--address") {
      options.address = value;
    } else if (option == "--bucket") {
      options.buckets.push_back(value);
    } else if (option == "--token") {
      options.tokens.insert(value);
    } else if (option == "--faults") {
      const auto parsed =
          holdfast::fakes::FaultsFromJson(nlohmann::json::parse(value, nullptr, false));
      fine = parsed.has_value();
      if (parsed) faults = *parsed;
    } else {
      fine = false;
    }
    if (!fine) {
      std::fprintf(stderr, "holdfast-fake-gcs: bad option or value: %s %s\n", option.c_str(),
                   value.c_str());
      return 2;
    }
  }
  GcsServer server(options);
  server.SetFaults(faults);
  std::printf("%s\n", server.url().c_str());
  std::fflush(stdout);
  while (true) ::pause();
}
