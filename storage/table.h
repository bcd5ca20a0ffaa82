// Tables as they lie on disk: rows of columns, packed one after the other. The columns of a type of
// row are listed once, and serve datasets of HDF5 files (hdf5_file.h) and shards (shard.cc) alike.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>

namespace holdfast::storage {

// Rows are packed as they lie in memory, and on disk they are little-endian.
static_assert(std::endian::native == std::endian::little);

// One column of a table: its name in the file and the member of the row that it fills.
template <typename Row, typename Value>
struct Column {
  const char* name;
  Value Row::* member;
};

// Specialised for each type of row: `static constexpr std::tuple kColumns{Column{...}, ...}`.
template <typename Row>
struct TableOf;

// A column in memory and on disk: little-endian numbers, byte arrays, strings of any length.
struct ColumnType {
  const char* name;
  enum Kind { kUnsigned, kSigned, kBytes, kText } kind;
  size_t size_bytes;
};

template <typename Value>
constexpr ColumnType ColumnTypeOf(const char* name) {
  if constexpr (std::is_same_v<Value, std::string>) return {name, ColumnType::kText, sizeof(char*)};
  if constexpr (std::is_unsigned_v<Value> || std::is_enum_v<Value>)
    return {name, ColumnType::kUnsigned, sizeof(Value)};
  if constexpr (std::is_signed_v<Value>) return {name, ColumnType::kSigned, sizeof(Value)};
  return {name, ColumnType::kBytes, sizeof(Value)};
}

template <typename Row>
constexpr auto kColumnTypes = std::apply(
    []<typename... Values>(const Column<Row, Values>&... columns) {
      return std::array{ColumnTypeOf<Values>(columns.name)...};
    },
    TableOf<Row>::kColumns);

template <typename Row>
constexpr size_t kRowBytes = [] {
  size_t size = 0;
  for (const ColumnType& column : kColumnTypes<Row>) size += column.size_bytes;
  return size;
}();

namespace table_detail {

// A string is packed as a pointer to it, as HDF5 wants it.
template <typename Value>
void Pack(const Value& value, std::byte*& out) {
  if constexpr (std::is_same_v<Value, std::string>) {
    const char* text = value.c_str();
    std::memcpy(out, &text, sizeof text);
    out += sizeof text;
  } else {
    std::memcpy(out, &value, sizeof value);
    out += sizeof value;
  }
}

template <typename Value>
void Unpack(const std::byte*& in, Value& value) {
  if constexpr (std::is_same_v<Value, std::string>) {
    const char* text = nullptr;
    std::memcpy(&text, in, sizeof text);
    in += sizeof text;
    value = text ? text : "";
  } else if constexpr (std::is_same_v<Value, bool>) {
    value = *in++ != std::byte{0};
  } else {
    std::memcpy(&value, in, sizeof value);
    in += sizeof value;
  }
}

}  // namespace table_detail

// `out` has kRowBytes<Row> for each row.
template <typename Row>
void PackRows(std::span<const Row> rows, std::span<std::byte> out) {
  std::byte* at = out.data();
  for (const Row& row : rows)
    std::apply([&](const auto&... columns) { (table_detail::Pack(row.*columns.member, at), ...); },
               TableOf<Row>::kColumns);
}

template <typename Row>
void UnpackRows(std::span<const std::byte> in, std::span<Row> rows) {
  const std::byte* at = in.data();
  for (Row& row : rows)
    std::apply(
        [&](const auto&... columns) { (table_detail::Unpack(at, row.*columns.member), ...); },
        TableOf<Row>::kColumns);
}

}  // namespace holdfast::storage
