// Writes docs/operations/configuration.md; part of the build, not installed.
#include <cstdio>

#include "config/config.h"

int main() { return std::fputs(holdfast::config::Reference().c_str(), stdout) < 0 ? 1 : 0; }
