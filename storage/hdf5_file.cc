#include "storage/hdf5_file.h"

#include <algorithm>

namespace holdfast::storage {
namespace {

// HDF5 wants a name, and refuses an image if a file of that name exists. This one cannot.
constexpr const char* kName = "/dev/null/image";
// Growth of a file that is being built, bytes.
constexpr size_t kIncrement = 1 << 20;

std::mutex& Hdf5Mutex() {
  static std::mutex mutex;
  return mutex;
}

// The innermost description on HDF5's error stack: the cause.
herr_t TakeCause(unsigned, const H5E_error2_t* error, void* cause) {
  if (error->desc && error->desc[0]) *static_cast<std::string*>(cause) = error->desc;
  return 0;
}

std::unexpected<Error> FailHdf5(const std::string& operation) {
  std::string cause;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, TakeCause, &cause);
  H5Eclear2(H5E_DEFAULT);
  return Fail(Code::kCorrupt, "HDF5: " + operation + ": " + (cause.empty() ? "failed" : cause));
}

// `call` fails with a negative number, as all of HDF5.
Status Check(long long call, const std::string& operation) {
  if (call < 0) return FailHdf5(operation);
  return {};
}

Result<Hdf5Id> Own(hid_t id, const std::string& operation) {
  if (id < 0) return FailHdf5(operation);
  return Hdf5Id(id);
}

Result<Hdf5Id> TextType() {
  HOLDFAST_TRY(Hdf5Id type, Own(H5Tcopy(H5T_C_S1), "string type"));
  HOLDFAST_CHECK(Check(H5Tset_size(type.get(), H5T_VARIABLE), "string type"));
  HOLDFAST_CHECK(Check(H5Tset_cset(type.get(), H5T_CSET_UTF8), "string type"));
  return type;
}

Result<Hdf5Id> TypeOf(const ColumnType& column) {
  switch (column.kind) {
    case ColumnType::kText:
      return TextType();
    case ColumnType::kBytes: {
      const hsize_t size = column.size_bytes;
      return Own(H5Tarray_create2(H5T_STD_U8LE, 1, &size), "array type");
    }
    case ColumnType::kSigned:
      return Own(H5Tcopy(column.size_bytes == 8 ? H5T_STD_I64LE : H5T_STD_I32LE), "integer type");
    case ColumnType::kUnsigned:
      return Own(H5Tcopy(column.size_bytes == 8   ? H5T_STD_U64LE
                         : column.size_bytes == 4 ? H5T_STD_U32LE
                                                  : H5T_STD_U8LE),
                 "integer type");
  }
  return Fail(Code::kInternal, "unknown column type");
}

Result<Hdf5Id> RowType(std::span<const ColumnType> columns, size_t row_bytes) {
  HOLDFAST_TRY(Hdf5Id row, Own(H5Tcreate(H5T_COMPOUND, row_bytes), "row type"));
  size_t offset = 0;
  for (const ColumnType& column : columns) {
    HOLDFAST_TRY(const Hdf5Id type, TypeOf(column));
    HOLDFAST_CHECK(Check(H5Tinsert(row.get(), column.name, offset, type.get()), column.name));
    offset += column.size_bytes;
  }
  return row;
}

Result<Hdf5Id> CoreAccess(std::span<const std::byte> image) {
  HOLDFAST_TRY(Hdf5Id access, Own(H5Pcreate(H5P_FILE_ACCESS), "file access"));
  HOLDFAST_CHECK(Check(H5Pset_fapl_core(access.get(), kIncrement, false), "file access"));
  if (!image.empty()) {
    // HDF5 only reads through this pointer; its type predates const.
    void* data = const_cast<std::byte*>(image.data());
    HOLDFAST_CHECK(Check(H5Pset_file_image(access.get(), data, image.size()), "file image"));
  }
  return access;
}

herr_t TakeName(hid_t, const char* name, const H5L_info2_t*, void* names) {
  static_cast<std::vector<std::string>*>(names)->emplace_back(name);
  return 0;
}

herr_t TakeAttributeName(hid_t, const char* name, const H5A_info_t*, void* names) {
  static_cast<std::vector<std::string>*>(names)->emplace_back(name);
  return 0;
}

}  // namespace

Hdf5Session::Hdf5Session() : lock_(Hdf5Mutex()) {
  // Errors are returned, not printed.
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

Result<Hdf5File> Hdf5File::Create(size_t user_block_bytes) {
  HOLDFAST_TRY(const Hdf5Id access, CoreAccess({}));
  HOLDFAST_TRY(const Hdf5Id creation, Own(H5Pcreate(H5P_FILE_CREATE), "file creation"));
  HOLDFAST_CHECK(Check(H5Pset_userblock(creation.get(), user_block_bytes), "user block"));
  HOLDFAST_TRY(Hdf5Id file,
               Own(H5Fcreate(kName, H5F_ACC_TRUNC, creation.get(), access.get()), "create"));
  return Hdf5File(std::move(file), user_block_bytes);
}

Result<Hdf5File> Hdf5File::Open(std::span<const std::byte> image) {
  HOLDFAST_TRY(const Hdf5Id access, CoreAccess(image));
  HOLDFAST_TRY(Hdf5Id file, Own(H5Fopen(kName, H5F_ACC_RDONLY, access.get()), "open"));
  Hdf5File opened(std::move(file), 0);
  opened.image_bytes_ = image.size();
  return opened;
}

Result<std::vector<std::byte>> Hdf5File::Image() {
  HOLDFAST_CHECK(Check(H5Fflush(file_.get(), H5F_SCOPE_GLOBAL), "flush"));
  const ssize_t size = H5Fget_file_image(file_.get(), nullptr, 0);
  HOLDFAST_CHECK(Check(size, "image size"));
  // HDF5 hands out an image without the user block.
  std::vector<std::byte> image(user_block_bytes_ + static_cast<size_t>(size));
  HOLDFAST_CHECK(Check(
      H5Fget_file_image(file_.get(), image.data() + user_block_bytes_, static_cast<size_t>(size)),
      "image"));
  return image;
}

Status Hdf5File::AddGroup(const std::string& path) {
  HOLDFAST_CHECK(
      Own(H5Gcreate2(file_.get(), path.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), path));
  return {};
}

Result<Hdf5Id> Hdf5File::CreateDataset(const std::string& path, hid_t type, hid_t space) {
  return Own(
      H5Dcreate2(file_.get(), path.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
      path);
}

Status Hdf5File::AddBytes(const std::string& path, std::span<const std::byte> data, size_t width) {
  const hsize_t sizes[] = {data.size() / width, width};
  HOLDFAST_TRY(const Hdf5Id space, Own(H5Screate_simple(width == 1 ? 1 : 2, sizes, nullptr), path));
  HOLDFAST_TRY(const Hdf5Id dataset, CreateDataset(path, H5T_STD_U8LE, space.get()));
  if (data.empty()) return {};
  return Check(H5Dwrite(dataset.get(), H5T_STD_U8LE, H5S_ALL, H5S_ALL, H5P_DEFAULT, data.data()),
               path);
}

Status Hdf5File::AddNumber(const std::string& path, const std::string& name, int64_t value) {
  HOLDFAST_TRY(const Hdf5Id space, Own(H5Screate(H5S_SCALAR), name));
  HOLDFAST_TRY(const Hdf5Id attribute,
               Own(H5Acreate_by_name(file_.get(), path.c_str(), name.c_str(), H5T_STD_I64LE,
                                     space.get(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                   name));
  return Check(H5Awrite(attribute.get(), H5T_NATIVE_INT64, &value), name);
}

Status Hdf5File::AddText(const std::string& path, const std::string& name,
                         const std::string& value) {
  HOLDFAST_TRY(const Hdf5Id type, TextType());
  HOLDFAST_TRY(const Hdf5Id space, Own(H5Screate(H5S_SCALAR), name));
  HOLDFAST_TRY(const Hdf5Id attribute,
               Own(H5Acreate_by_name(file_.get(), path.c_str(), name.c_str(), type.get(),
                                     space.get(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                   name));
  const char* text = value.c_str();
  return Check(H5Awrite(attribute.get(), type.get(), &text), name);
}

Result<size_t> Hdf5File::CountOf(const std::string& path, const Hdf5Id& space, size_t bytes) const {
  const hssize_t count = H5Sget_simple_extent_npoints(space.get());
  HOLDFAST_CHECK(Check(count, path));
  // HDF5 would read what was never written as zeros.
  if (bytes == 0 || static_cast<size_t>(count) > image_bytes_ / bytes)
    return Fail(Code::kCorrupt, "HDF5: " + path + ": larger than the file");
  return static_cast<size_t>(count);
}

Result<std::vector<std::byte>> Hdf5File::Bytes(const std::string& path, size_t width) {
  HOLDFAST_TRY(const Hdf5Id dataset, Own(H5Dopen2(file_.get(), path.c_str(), H5P_DEFAULT), path));
  HOLDFAST_TRY(const Hdf5Id space, Own(H5Dget_space(dataset.get()), path));
  HOLDFAST_TRY(const size_t size, CountOf(path, space, 1));
  if (size % width != 0) return Fail(Code::kCorrupt, "HDF5: " + path + ": unexpected shape");
  std::vector<std::byte> data(size);
  if (data.empty()) return data;
  HOLDFAST_CHECK(Check(
      H5Dread(dataset.get(), H5T_STD_U8LE, H5S_ALL, H5S_ALL, H5P_DEFAULT, data.data()), path));
  return data;
}

Result<int64_t> Hdf5File::Number(const std::string& path, const std::string& name) {
  HOLDFAST_TRY(const Hdf5Id attribute, Own(H5Aopen_by_name(file_.get(), path.c_str(), name.c_str(),
                                                           H5P_DEFAULT, H5P_DEFAULT),
                                           name));
  HOLDFAST_TRY(const Hdf5Id space, Own(H5Aget_space(attribute.get()), name));
  if (H5Sget_simple_extent_npoints(space.get()) != 1)
    return Fail(Code::kCorrupt, "HDF5: " + name + ": unexpected shape");
  int64_t value = 0;
  HOLDFAST_CHECK(Check(H5Aread(attribute.get(), H5T_NATIVE_INT64, &value), name));
  return value;
}

Result<std::string> Hdf5File::Text(const std::string& path, const std::string& name) {
  HOLDFAST_TRY(const Hdf5Id attribute, Own(H5Aopen_by_name(file_.get(), path.c_str(), name.c_str(),
                                                           H5P_DEFAULT, H5P_DEFAULT),
                                           name));
  HOLDFAST_TRY(const Hdf5Id space, Own(H5Aget_space(attribute.get()), name));
  if (H5Sget_simple_extent_npoints(space.get()) != 1)
    return Fail(Code::kCorrupt, "HDF5: " + name + ": unexpected shape");
  HOLDFAST_TRY(const Hdf5Id type, TextType());
  char* text = nullptr;
  HOLDFAST_CHECK(Check(H5Aread(attribute.get(), type.get(), &text), name));
  std::string value(text ? text : "");
  H5Treclaim(type.get(), space.get(), H5P_DEFAULT, &text);
  return value;
}

Result<std::map<std::string, std::string>> Hdf5File::Texts(const std::string& path) {
  std::vector<std::string> names;
  HOLDFAST_CHECK(Check(H5Aiterate_by_name(file_.get(), path.c_str(), H5_INDEX_NAME, H5_ITER_NATIVE,
                                          nullptr, TakeAttributeName, &names, H5P_DEFAULT),
                       path));
  std::map<std::string, std::string> texts;
  for (const std::string& name : names) {
    HOLDFAST_TRY(texts[name], Text(path, name));
  }
  return texts;
}

Result<std::vector<std::string>> Hdf5File::Names(const std::string& path) {
  HOLDFAST_TRY(const Hdf5Id group, Own(H5Gopen2(file_.get(), path.c_str(), H5P_DEFAULT), path));
  std::vector<std::string> names;
  HOLDFAST_CHECK(
      Check(H5Literate2(group.get(), H5_INDEX_NAME, H5_ITER_INC, nullptr, TakeName, &names), path));
  return names;
}

Status Hdf5File::WriteRows(const std::string& path, std::span<const ColumnType> columns,
                           size_t row_bytes, size_t rows, const std::vector<std::byte>& packed) {
  HOLDFAST_TRY(const Hdf5Id type, RowType(columns, row_bytes));
  const hsize_t size = rows;
  HOLDFAST_TRY(const Hdf5Id space, Own(H5Screate_simple(1, &size, nullptr), path));
  HOLDFAST_TRY(const Hdf5Id dataset, CreateDataset(path, type.get(), space.get()));
  if (rows == 0) return {};
  return Check(H5Dwrite(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, packed.data()),
               path);
}

Result<Hdf5File::PackedRows> Hdf5File::ReadRows(const std::string& path,
                                                std::span<const ColumnType> columns,
                                                size_t row_bytes) {
  PackedRows rows;
  HOLDFAST_TRY(const Hdf5Id dataset, Own(H5Dopen2(file_.get(), path.c_str(), H5P_DEFAULT), path));
  HOLDFAST_TRY(rows.type, RowType(columns, row_bytes));
  HOLDFAST_TRY(rows.space, Own(H5Dget_space(dataset.get()), path));
  HOLDFAST_TRY(const Hdf5Id stored, Own(H5Dget_type(dataset.get()), path));
  HOLDFAST_TRY(const size_t count, CountOf(path, rows.space, H5Tget_size(stored.get())));
  for (const ColumnType& column : columns)
    if (H5Tget_member_index(stored.get(), column.name) < 0) {
      H5Eclear2(H5E_DEFAULT);
      return Fail(Code::kCorrupt, "HDF5: " + path + ": no column " + column.name);
    }
  rows.data.resize(count * row_bytes);
  if (count == 0) return rows;
  HOLDFAST_CHECK(Check(
      H5Dread(dataset.get(), rows.type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, rows.data.data()),
      path));
  rows.count = count;
  return rows;
}

}  // namespace holdfast::storage
