#include "pod/steps/say.h"

#include <unistd.h>

#include <string>

namespace holdfast::pod {

void Say(std::string_view line) {
  // getopt's hint is the one line without srun's name in front.
  const bool bare = line.starts_with("Try ");
  const std::string text = (bare ? "" : "srun: ") + std::string(line) + "\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
}

void Say(const Complaint& complaint) {
  for (const std::string& line : complaint.lines) Say(line);
}

}  // namespace holdfast::pod
