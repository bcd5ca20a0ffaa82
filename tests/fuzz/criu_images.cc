// CRIU's images, as a restore looks into them before CRIU does.
#include "tests/fuzz/fuzz.h"
#include "warden/criu/comparison.h"
#include "warden/criu/images.h"
#include "warden/criu/images_rights.h"

namespace holdfast::fuzz {

using namespace warden;

namespace {

const Identity kOwner{.uid = 1000, .gid = 1000, .groups = {1000, 44}};
constexpr const char* kNames[] = {"pstree.img", "files.img", "remap-fpath.img", "fdinfo-1.img",
                                  "ids-1.img",  "fs-1.img",  "mm-1.img"};
constexpr std::string_view kEnd = "NEXT";

// All images of a process, one after the other.
void Compare(std::string_view bytes) {
  SavedProcesses processes;
  for (const char* name : kNames) {
    const size_t end = std::min(bytes.find(kEnd), bytes.size());
    (void)processes.Note(name, std::string(bytes.substr(0, end)));
    bytes.remove_prefix(std::min(end + kEnd.size(), bytes.size()));
  }
  (void)processes.Processes();
}

}  // namespace

void Feed(std::string_view bytes) {
  switch (Choose(bytes, 4)) {
    case 0:
      if (const auto pagemap = ParsePagemap("pagemap-1.img", bytes)) {
        const auto again = ParsePagemap("pagemap-1.img", SerializePagemap(*pagemap));
        Must(again && again->entries.size() == pagemap->entries.size(), "a pagemap stays one");
      }
      return;
    case 1:
      (void)CheckCoreRights("core-1.img", bytes, kOwner, "label");
      return;
    case 2:
      (void)CheckGhostRights("ghost-file-1.img", bytes, kOwner);
      return;
    default:
      Compare(bytes);
  }
}

std::vector<std::string> Seeds() {
  Pagemap pagemap{.pages_id = 1};
  image::pagemap_entry& entry = pagemap.entries.emplace_back();
  entry.set_vaddr(1 << 20);
  entry.set_compat_nr_pages(0);
  entry.set_nr_pages(3);
  entry.set_flags(kPageLazy);

  image::ghost_file_entry ghost;
  ghost.set_uid(1000);
  ghost.set_gid(44);
  ghost.set_mode(0100600);

  image::core_entry core;
  core.set_mtype(1);
  core.mutable_tc()->set_task_state(1);
  image::creds_entry& creds = *core.mutable_thread_core()->mutable_creds();
  for (const auto set :
       {&image::creds_entry::set_uid, &image::creds_entry::set_gid, &image::creds_entry::set_euid,
        &image::creds_entry::set_egid, &image::creds_entry::set_suid, &image::creds_entry::set_sgid,
        &image::creds_entry::set_fsuid, &image::creds_entry::set_fsgid})
    (creds.*set)(1000);
  creds.add_groups(44);
  creds.set_secbits(0);

  image::pstree_entry tree;
  tree.set_pid(1);
  tree.set_ppid(0);
  tree.set_pgid(1);
  tree.set_sid(1);
  tree.add_threads(1);
  image::file_entry fifo;
  fifo.set_type(3);
  fifo.set_id(5);
  fifo.mutable_fifo()->set_regf_id(6);
  image::fdinfo_entry descriptor;
  descriptor.set_id(5);
  descriptor.set_fd(0);
  image::task_kobj_ids_entry ids;
  ids.set_files_id(1);
  image::fs_entry directories;
  directories.set_cwd_id(5);
  directories.set_root_id(5);
  image::mm_entry memory;
  memory.set_exe_file_id(5);
  std::string process(1, '\3');
  for (const std::string& image :
       {SerializeImage(ImageMagic::kPstree, {&tree}), SerializeImage(ImageMagic::kFiles, {&fifo}),
        SerializeImage(ImageMagic::kRemapPath, {}),
        SerializeImage(ImageMagic::kFdinfo, {&descriptor}),
        SerializeImage(ImageMagic::kIds, {&ids}), SerializeImage(ImageMagic::kFs, {&directories}),
        SerializeImage(ImageMagic::kMm, {&memory})})
    process += image + std::string(kEnd);
  return {'\0' + SerializePagemap(pagemap), '\1' + SerializeImage(ImageMagic::kCore, {&core}),
          '\2' + SerializeImage(ImageMagic::kGhostFile, {&ghost}), process};
}

}  // namespace holdfast::fuzz
