// HDF5 files as values: built in memory and read from memory, so that what is on disk can be
// verified before HDF5 sees a byte of it. Used by part.cc and manifest.cc only.
//
// libhdf5 is not thread-safe: a Hdf5Session must live while any of the other objects does.
#pragma once

#include <hdf5.h>

#include <map>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "storage/table.h"

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
  // Of elements of so many bytes each. kCorrupt if the file has no room for them.
  Result<size_t> CountOf(const std::string& path, const Hdf5Id& space, size_t bytes) const;
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
  size_t image_bytes_ = 0;  // of one that was opened
};

template <typename Row>
Status Hdf5File::AddTable(const std::string& path, const std::vector<Row>& rows) {
  std::vector<std::byte> packed(rows.size() * kRowBytes<Row>);
  PackRows(std::span(rows), packed);
  return WriteRows(path, kColumnTypes<Row>, kRowBytes<Row>, rows.size(), packed);
}

template <typename Row>
Result<std::vector<Row>> Hdf5File::Table(const std::string& path) {
  HOLDFAST_TRY(const PackedRows packed, ReadRows(path, kColumnTypes<Row>, kRowBytes<Row>));
  std::vector<Row> rows(packed.count);
  UnpackRows(std::span(packed.data), std::span(rows));
  return rows;
}

}  // namespace holdfast::storage
