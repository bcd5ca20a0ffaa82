// srun in a checkpointed job: reads the command line, asks for a step, starts it and stays with it.
#pragma once

#include <string>
#include <vector>

namespace holdfast::pod {

// What srun exits with. Arguments are without the program's name.
int RunSrun(const std::vector<std::string>& arguments);

}  // namespace holdfast::pod
