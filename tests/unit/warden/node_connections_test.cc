#include "warden/criu/node_connections.h"

#include <gtest/gtest.h>

namespace holdfast::warden {
namespace {

image::file_entry Socket(uint32_t ino, uint32_t peer, uint32_t uflags = 0) {
  image::file_entry file;
  file.set_type(5);
  file.set_id(ino);
  file.mutable_usk()->set_ino(ino);
  file.mutable_usk()->set_peer(peer);
  file.mutable_usk()->set_uflags(uflags);
  return file;
}

TEST(NodeConnections, EndAndOthersStay) {
  image::file_entry no_socket;
  no_socket.set_type(1);
  no_socket.set_id(4);
  std::vector<image::file_entry> files = {Socket(10, 99), Socket(11, 12), Socket(12, 11),
                                          Socket(99, 0, 1), no_socket};
  EndNodeConnections(files);
  ASSERT_EQ(files.size(), 4u);
  EXPECT_EQ(files[0].usk().peer(), 0u);
  EXPECT_EQ(files[0].usk().shutdown(), 3u);
  EXPECT_EQ(files[1].usk().peer(), 12u);
  EXPECT_EQ(files[2].usk().peer(), 11u);
  EXPECT_FALSE(files[1].usk().has_shutdown());
  EXPECT_FALSE(files[3].has_usk());
}

}  // namespace
}  // namespace holdfast::warden
