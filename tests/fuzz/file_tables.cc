// The tables of a pod's private files and of the job's files, which a restore follows.
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"
#include "warden/files/capture.h"
#include "warden/files/scratch.h"
#include "warden/files/tree.h"
#include "warden_images/rollback.pb.h"
#include "warden_images/scratch.pb.h"

namespace holdfast::fuzz {
namespace {

const std::vector<std::string> kRoots = {"/tmp", "/dev/shm", "/run/holdfast", "/scratch"};
const Identity kOwner{.uid = 1000, .gid = 1000, .groups = {1000, 44}};

bool Climbs(const std::string& path) { return ("/" + path + "/").contains("/../"); }

void ReadFiles(const std::string& bytes) {
  const auto table = warden::ParseFilesTable(bytes);
  if (!table) return;
  for (const auto& file : table->files()) {
    Must(!Climbs(file.path()), "no file is outside of its directory");
    (void)warden::PathOf(*table, file);
    (void)warden::StreamOf(*table, file);
  }
}

void ReadScratch(const std::string& bytes) {
  const auto table = warden::ParseScratchTable(bytes, kRoots, kOwner, 1 << 20);
  if (!table) return;
  for (const auto& entry : table->entries()) {
    Must(!Climbs(entry.path()) && !entry.path().starts_with('/'), "no entry is outside");
    Must(entry.uid() == kOwner.uid, "every entry is the owner's");
  }
}

}  // namespace

void Feed(std::string_view bytes) {
  if (Choose(bytes, 2) == 0)
    ReadFiles(std::string(bytes));
  else
    ReadScratch(std::string(bytes));
}

std::vector<std::string> Seeds() {
  warden::scratch::Table scratch;
  scratch.set_version(1);
  scratch.add_roots("/tmp");
  for (const mode_t mode : {S_IFDIR | 0700, S_IFREG | 0600, S_IFLNK | 0777}) {
    auto& entry = *scratch.add_entries();
    entry.set_path("a");
    entry.set_mode(mode);
    entry.set_uid(kOwner.uid);
    entry.set_gid(kOwner.gid);
    entry.set_target(S_ISLNK(mode) ? "../b" : "");
    entry.set_size(5000);
    entry.set_stream_offset(4096);
    auto& run = *entry.add_runs();
    run.set_offset(0);
    run.set_size(4096);
  }
  warden::rollback::Table files;
  files.set_version(warden::kFilesTableVersion);
  files.add_roots()->set_path("/home/a");
  for (const uint32_t root : {0, 1}) {
    auto& file = *files.add_files();
    file.set_root(root);
    file.set_path(root == 0 ? "/b/c" : "c");
  }
  return {'\0' + files.SerializeAsString(), '\1' + scratch.SerializeAsString()};
}

}  // namespace holdfast::fuzz
