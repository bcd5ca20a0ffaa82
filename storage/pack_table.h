// The columns of a table of packs, which parts and sealed parts have. Used by part.cc and
// sealed_part.cc.
#pragma once

#include <tuple>

#include "storage/shard.h"
#include "storage/table.h"

namespace holdfast::storage {

// The names of columns are the format: do not change.
template <>
struct TableOf<PackRow> {
  static constexpr std::tuple kColumns{Column{"name", &PackRow::name},
                                       Column{"size", &PackRow::size_bytes}};
};

}  // namespace holdfast::storage
