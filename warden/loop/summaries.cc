#include "warden/loop/summaries.h"

#include <fmt/format.h>

#include <cstring>

namespace holdfast::warden {

v1::Part ToPart(const storage::PartSummary& summary) {
  v1::Part part;
  part.set_pod(summary.pod);
  part.set_name(summary.name);
  part.set_digest(summary.digest.data(), summary.digest.size());
  part.set_raw_bytes(summary.raw_bytes);
  part.set_stored_bytes(summary.stored_bytes);
  part.set_processes(summary.processes);
  return part;
}

Result<storage::PartSummary> FromPart(const v1::Part& part) {
  storage::PartSummary summary{.pod = part.pod(),
                               .name = part.name(),
                               .raw_bytes = part.raw_bytes(),
                               .stored_bytes = part.stored_bytes(),
                               .processes = part.processes()};
  if (part.digest().size() != summary.digest.size())
    return Fail(Code::kInternal, fmt::format("the part of pod {} has no digest", part.pod()));
  std::memcpy(summary.digest.data(), part.digest().data(), summary.digest.size());
  return summary;
}

v1::Saved ToSaved(const storage::Manifest& manifest) {
  v1::Saved saved;
  saved.set_number(manifest.checkpoint);
  saved.set_unix_ms(manifest.unix_ms);
  saved.set_pods(static_cast<uint32_t>(manifest.parts.size()));
  for (const storage::PartSummary& part : manifest.AllParts()) {
    saved.set_raw_bytes(saved.raw_bytes() + part.raw_bytes);
    saved.set_stored_bytes(saved.stored_bytes() + part.stored_bytes);
  }
  return saved;
}

}  // namespace holdfast::warden
