#include "storage/hdf5_file.h"

#include <gtest/gtest.h>

namespace holdfast::storage {
namespace {

// A file with a dataset of so many bytes, none of which was ever written.
std::vector<std::byte> Hollow(hsize_t size) {
  const Hdf5Id access(H5Pcreate(H5P_FILE_ACCESS));
  H5Pset_fapl_core(access.get(), 4096, false);
  const Hdf5Id file(H5Fcreate("/dev/null/x", H5F_ACC_TRUNC, H5P_DEFAULT, access.get()));
  const Hdf5Id space(H5Screate_simple(1, &size, nullptr));
  {
    const Hdf5Id dataset(H5Dcreate2(file.get(), "/bytes", H5T_STD_U8LE, space.get(), H5P_DEFAULT,
                                    H5P_DEFAULT, H5P_DEFAULT));
    EXPECT_TRUE(dataset.valid());
  }
  H5Fflush(file.get(), H5F_SCOPE_GLOBAL);
  std::vector<std::byte> image(static_cast<size_t>(H5Fget_file_image(file.get(), nullptr, 0)));
  H5Fget_file_image(file.get(), image.data(), image.size());
  return image;
}

TEST(Hdf5FileTest, ATableLargerThanTheFileIsRefused) {
  const Hdf5Session session;
  const std::vector<std::byte> image = Hollow(hsize_t{1} << 60);
  ASSERT_LT(image.size(), 10'000U);
  auto file = Hdf5File::Open(image);
  ASSERT_TRUE(file) << file.error().message();
  const auto bytes = file->Bytes("/bytes");
  ASSERT_FALSE(bytes);
  EXPECT_EQ(bytes.error().code(), Code::kCorrupt);
}

}  // namespace
}  // namespace holdfast::storage
