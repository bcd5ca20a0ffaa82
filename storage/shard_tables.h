// The columns of a shard's tables, which the last shard of a part has as datasets of the part's
// file. Used by shard.cc and part.cc.
#pragma once

#include <tuple>

#include "storage/shard.h"
#include "storage/table.h"

namespace holdfast::storage {

// The names of columns, their order and their types are the format: do not change.
template <>
struct TableOf<BlobRow> {
  static constexpr std::tuple kColumns{
      Column{"pack", &BlobRow::pack},           Column{"offset", &BlobRow::offset},
      Column{"stored", &BlobRow::stored_bytes}, Column{"raw", &BlobRow::raw_bytes},
      Column{"codec", &BlobRow::codec},         Column{"digest", &BlobRow::digest}};
};
template <>
struct TableOf<ExtentRow> {
  static constexpr std::tuple kColumns{
      Column{"stream", &ExtentRow::stream},          Column{"offset", &ExtentRow::offset},
      Column{"length", &ExtentRow::length_bytes},    Column{"pid", &ExtentRow::pid},
      Column{"address", &ExtentRow::address},        Column{"blob", &ExtentRow::blob},
      Column{"blob_offset", &ExtentRow::blob_offset}};
};

}  // namespace holdfast::storage
