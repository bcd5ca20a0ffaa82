// HDF5 files as values: built in memory and read from memory, so that what is on disk can be
// verified before HDF5 sees a byte of it. Used by part.cc and manifest.cc only.
//
// libhdf5 is not thread-safe: a Hdf5Session must live while any of the other objects does.
#pragma once

#include <hdf5.h>

#include <array>
#include <cstring>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/result.h"

namespace holdfast::storage {

// Waits until nobody else in the process uses HDF5.
class Hdf5Session {
 public:
  Hdf5Session();

 private:
  std::lock_guard<std::mutex> lock_;
};

// Owner of an HDF5 identifier of any kind.
class Hdf5Id {
 public:
  Hdf5Id() = default;
  explicit Hdf5Id(hid_t id) : id_(id) {}
  Hdf5Id(Hdf5Id&& other) noexcept : id_(std::exchange(other.id_, H5I_INVALID_HID)) {}
  Hdf5Id& operator=(Hdf5Id&& other) noexcept {
    std::swap(id_, other.id_);
    return *this;
  }
  ~Hdf5Id() {
    if (id_ >= 0) H5Idec_ref(id_);
  }
  hid_t get() const { return id_; }
  bool valid() const { return id_ >= 0; }

 private:
  hid_t id_ = H5I_INVALID_HID;
};

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

class Hdf5File {
 public:
  // A new file with room for a user block of that size at its start (0 or at least 512).
  static Result<Hdf5File> Create(size_t user_block_bytes);
  // A copy of the image is made.
  static Result<Hdf5File> Open(std::span<const std::byte> image);

  // The whole file, user block (zeros) included.
  Result<std::vector<std::byte>> Image();

  Status AddGroup(const std::string& path);
  // A one-dimensional dataset of bytes, or a two-dimensional one with rows of `width`.
  Status AddBytes(const std::string& path, std::span<const std::byte> data, size_t width = 1);
  Status AddNumber(const std::string& path, const std::string& name, int64_t value);
  Status AddText(const std::string& path, const std::string& name, const std::string& value);

  Result<std::vector<std::byte>> Bytes(const std::string& path, size_t width = 1);
  Result<int64_t> Number(const std::string& path, const std::string& name);
  Result<std::string> Text(const std::string& path, const std::string& name);
  // All text attributes of an object.
  Result<std::map<std::string, std::string>> Texts(const std::string& path);
  // Names in a group.
  Result<std::vector<std::string>> Names(const std::string& path);

  template <typename Row>
  Status AddTable(const std::string& path, const std::vector<Row>& rows);
  // Columns that the file has beyond the row's are ignored; missing ones are an error.
  template <typename Row>
  Result<std::vector<Row>> Table(const std::string& path);

 private:
  explicit Hdf5File(Hdf5Id file, size_t user_block_bytes)
      : file_(std::move(file)), user_block_bytes_(user_block_bytes) {}
  Result<Hdf5Id> CreateDataset(const std::string& path, hid_t type, hid_t space);
  Status WriteRows(const std::string& path, std::span<const ColumnType> columns, size_t row_bytes,
                   size_t rows, const std::vector<std::byte>& packed);

  // Rows packed one after the other; strings in them belong to HDF5 until this goes.
  struct PackedRows {
    Hdf5Id type, space;
    std::vector<std::byte> data;
    size_t count = 0;
    PackedRows() = default;
    PackedRows(PackedRows&&) = default;
    ~PackedRows() {
      if (type.valid() && count > 0) H5Treclaim(type.get(), space.get(), H5P_DEFAULT, data.data());
    }
  };
  Result<PackedRows> ReadRows(const std::string& path, std::span<const ColumnType> columns,
                              size_t row_bytes);

  Hdf5Id file_;
  size_t user_block_bytes_;
};

namespace hdf5_detail {

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

}  // namespace hdf5_detail

template <typename Row>
Status Hdf5File::AddTable(const std::string& path, const std::vector<Row>& rows) {
  constexpr size_t kRowBytes = hdf5_detail::kRowBytes<Row>;
  std::vector<std::byte> packed(rows.size() * kRowBytes);
  std::byte* out = packed.data();
  for (const Row& row : rows)
    std::apply([&](const auto&... columns) { (hdf5_detail::Pack(row.*columns.member, out), ...); },
               TableOf<Row>::kColumns);
  return WriteRows(path, hdf5_detail::kColumnTypes<Row>, kRowBytes, rows.size(), packed);
}

template <typename Row>
Result<std::vector<Row>> Hdf5File::Table(const std::string& path) {
  HOLDFAST_TRY(const PackedRows packed,
               ReadRows(path, hdf5_detail::kColumnTypes<Row>, hdf5_detail::kRowBytes<Row>));
  std::vector<Row> rows(packed.count);
  const std::byte* in = packed.data.data();
  for (Row& row : rows)
    std::apply([&](const auto&... columns) { (hdf5_detail::Unpack(in, row.*columns.member), ...); },
               TableOf<Row>::kColumns);
  return rows;
}

}  // namespace holdfast::storage
