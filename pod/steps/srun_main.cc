// srun and sbcast in a checkpointed job: see pod/steps/client.h and broadcast.h. Run by the kernel
// as the interpreter of the scripts that stand over the site's own, so that the first argument is
// that script's path.
#include <string_view>

#include "pod/steps/broadcast.h"
#include "pod/steps/client.h"

int main(int argc, char** argv) {
  using namespace holdfast::pod;
  if (argc < 2) return 1;
  const std::string_view name = argv[1];
  if (name == kReceiveFile) return ReceiveFile({argv + 2, argv + argc});
  if (name.substr(name.rfind('/') + 1) == "sbcast") return RunSbcast({argv + 2, argv + argc});
  return RunSrun({argv + 2, argv + argc});
}
