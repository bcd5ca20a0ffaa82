// The options of a job, as they stand in a warden's environment, in Hello and in the journal; and
// as users give them to sbatch.
#include "protocol/job_options.h"

#include "tests/fuzz/fuzz.h"

namespace holdfast::fuzz {

void Feed(std::string_view bytes) {
  const auto table = JobOptionTable();
  const size_t choice = Choose(bytes, table.size() + 1);
  JobOptions options;
  if (choice == table.size()) {
    const auto decoded = DecodeOptions(bytes);
    if (!decoded) return;
    options = *decoded;
  } else if (!SetOption(table[choice], bytes, options)) {
    return;
  }
  const auto again = DecodeOptions(EncodeOptions(options));
  Must(again && *again == options, "options are read as they were written");
  (void)CheckOptions(options);
}

std::vector<std::string> Seeds() {
  std::vector<std::string> seeds;
  JobOptions options{.checkpoint = true, .directory = "/ckpt", .keep = 2};
  options.restore_from = CheckpointName{.job = 7, .checkpoint = 2};
  options.files = {"/home/a", "/b"};
  options.rollback = RollbackPolicy::kAll;
  options.renewals = kWithoutEnd;
  const auto table = JobOptionTable();
  for (size_t i = 0; i < table.size(); ++i)
    if (const auto value = table[i].format(options)) seeds.push_back(static_cast<char>(i) + *value);
  seeds.push_back(static_cast<char>(table.size()) + EncodeOptions(options));
  return seeds;
}

}  // namespace holdfast::fuzz
