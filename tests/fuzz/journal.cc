// Rows of the coordinator's journal. What is accepted must be written again as it was understood.
#include "coordinator/job_codec.h"
#include "tests/fuzz/fuzz.h"

namespace holdfast::fuzz {

using namespace coordinator;

namespace {

template <class Parse>
void Read(std::string_view bytes, Parse parse) {
  const auto row = parse(bytes);
  if (!row) return;
  const std::string written = Serialize(*row);
  const auto again = parse(written);
  Must(again && Serialize(*again) == written, "a row is read as it was written");
}

}  // namespace

void Feed(std::string_view bytes) {
  switch (Choose(bytes, 3)) {
    case 0:
      return Read(bytes, ParseJob);
    case 1:
      return Read(bytes, ParseCheckpoint);
    default:
      return Read(bytes, ParseMove);
  }
}

std::vector<std::string> Seeds() {
  Durable job;
  job.id = 7;
  job.uid = 8;
  return {'\0' + Serialize(job), '\1' + Serialize(Checkpoint{}), '\2' + Serialize(Move{})};
}

}  // namespace holdfast::fuzz
