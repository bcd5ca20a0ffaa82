// The columns of a table of packs, which parts and sealed parts have. Used by part.cc and
// sealed_part.cc.
#pragma once

#include <tuple>

#include "storage/hdf5_file.h"
#include "storage/part.h"

namespace holdfast::storage {

// The names of columns are the format: do not change.
template <>
struct TableOf<PackRow> {
  static constexpr std::tuple kColumns{Column{"name", &PackRow::name},
                                       Column{"size", &PackRow::size_bytes}};
};

}  // namespace holdfast::storage
