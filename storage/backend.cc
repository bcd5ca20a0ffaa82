#include "storage/backend.h"

#include <fmt/format.h>

namespace holdfast::storage {

Result<std::vector<std::byte>> ReadObject(Backend& backend, const std::string& key,
                                          uint64_t limit_bytes) {
  HOLDFAST_TRY(const auto reader, backend.Open(key));
  if (reader->size_bytes() > limit_bytes)
    return Fail(Code::kCorrupt,
                fmt::format("reading {}: {} bytes, but at most {} can be right",
                            backend.Describe(key), reader->size_bytes(), limit_bytes));
  std::vector<std::byte> contents(reader->size_bytes());
  HOLDFAST_CHECK(reader->ReadAt(0, contents));
  return contents;
}

}  // namespace holdfast::storage
