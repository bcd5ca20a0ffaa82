// holdfast-fake-metadata: a fake metadata server by itself, for the lab.
//   holdfast-fake-metadata gce|aws|azure [PORT [ADDRESS]]
// Prints its URL and serves until it is killed.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "tests/fakes/metadata_server.h"

int main(int argc, char** argv) {
  using holdfast::fakes::Cloud;
  const std::string name = argc > 1 ? argv[1] : "";
  if (argc > 4 || (name != "gce" && name != "aws" && name != "azure")) {
    std::fprintf(stderr, "usage: holdfast-fake-metadata gce|aws|azure [PORT [ADDRESS]]\n");
    return 2;
  }
  const Cloud cloud = name == "gce" ? Cloud::kGce : name == "aws" ? Cloud::kAws : Cloud::kAzure;
  holdfast::fakes::MetadataServer server(cloud,
                                         static_cast<uint16_t>(argc > 2 ? std::atoi(argv[2]) : 0),
                                         argc > 3 ? argv[3] : "127.0.0.1");
  std::printf("%s\n", server.url().c_str());
  std::fflush(stdout);
  while (true) ::pause();
}
