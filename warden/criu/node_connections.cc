#include "warden/criu/node_connections.h"

#include <set>

namespace holdfast::warden {
namespace {

constexpr uint32_t kExternal = 1;  // USK_EXTERN in criu/sk-unix.c of CRIU 4.2
constexpr uint32_t kBoth = 3;      // SK_SHUTDOWN__BOTH in images/sk-opts.proto

bool IsExternal(const image::file_entry& file) {
  return file.has_usk() && (file.usk().uflags() & kExternal) != 0;
}

}  // namespace

bool IsAboutNewConnection(const Error& error) {
  return error.message().find("Dangling connection") != std::string::npos;
}

void EndNodeConnections(std::vector<image::file_entry>& files) {
  std::set<uint32_t> outside;  // inodes
  for (const image::file_entry& file : files)
    if (IsExternal(file)) outside.insert(file.usk().ino());
  std::erase_if(files, IsExternal);
  for (image::file_entry& file : files) {
    if (!file.has_usk() || !outside.contains(file.usk().peer())) continue;
    file.mutable_usk()->set_peer(0);
    file.mutable_usk()->set_shutdown(kBoth);
  }
}

}  // namespace holdfast::warden
