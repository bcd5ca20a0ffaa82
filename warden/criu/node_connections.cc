#include "warden/criu/node_connections.h"

#include <set>
#include <sstream>
#include <utility>

#include "base/files.h"

namespace holdfast::warden {
namespace {

constexpr uint32_t kExternal = 1;  // USK_EXTERN in criu/sk-unix.c of CRIU 4.2
constexpr uint32_t kBoth = 3;      // SK_SHUTDOWN__BOTH in images/sk-opts.proto

bool IsExternal(const image::file_entry& file) {
  return file.has_usk() && (file.usk().uflags() & kExternal) != 0;
}

}  // namespace

Result<std::vector<std::string>> UnixSockets(const Pod& pod) {
  HOLDFAST_TRY(const std::string table, ReadFile(pod.proc_path() + "/1/net/unix"));
  std::istringstream lines(table);
  std::vector<std::string> sockets;
  std::string line;
  std::getline(lines, line);  // the heading
  while (std::getline(lines, line)) {
    std::istringstream fields(line);
    std::string address, references, protocol, flags, type, state, inode;
    if (fields >> address >> references >> protocol >> flags >> type >> state >> inode)
      sockets.push_back("unix[" + inode + "]");
  }
  return sockets;
}

bool IsAboutNewConnection(const Error& error) {
  return error.message().find("External socket is used") != std::string::npos ||
         error.message().find("Dangling connection") != std::string::npos;
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
