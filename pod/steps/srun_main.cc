// srun in a checkpointed job: see pod/steps/client.h. Run by the kernel as the interpreter of the
// script that stands over the site's srun, so that the first argument is that script's path.
#include "pod/steps/client.h"

int main(int argc, char** argv) {
  return argc < 2 ? 1 : holdfast::pod::RunSrun({argv + 2, argv + argc});
}
