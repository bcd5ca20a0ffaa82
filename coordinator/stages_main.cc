// Writes docs/stages.md; part of the build, not installed.
#include <cstdio>

#include "coordinator/state.h"

int main() { return std::fputs(holdfast::coordinator::DrawStages().c_str(), stdout) < 0 ? 1 : 0; }
