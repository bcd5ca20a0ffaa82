// Writes docs/operations/metrics.md; part of the build, not installed.
#include <cstdio>

#include "coordinator/metrics.h"

int main() {
  return std::fputs(holdfast::coordinator::Metrics::Reference().c_str(), stdout) < 0 ? 1 : 0;
}
