#include "warden/criu/comparison.h"

#include <gtest/gtest.h>

namespace holdfast::warden {
namespace {

constexpr uint32_t kRegular = 1, kFifo = 3;  // criu/images/fdinfo.proto

// The program that the images give process 1, with these files.
std::string ProgramOf(uint32_t id, const std::vector<image::file_entry>& files) {
  image::pstree_entry tree;
  tree.set_pid(1);
  tree.set_ppid(0);
  tree.set_pgid(1);
  tree.set_sid(1);
  image::task_kobj_ids_entry ids;
  ids.set_files_id(1);
  image::fs_entry directories;
  directories.set_cwd_id(0);
  directories.set_root_id(0);
  image::mm_entry memory;
  memory.set_exe_file_id(id);
  std::vector<const google::protobuf::MessageLite*> records;
  for (const image::file_entry& file : files) records.push_back(&file);

  SavedProcesses processes;
  EXPECT_TRUE(processes.Note("pstree.img", SerializeImage(ImageMagic::kPstree, {&tree})));
  EXPECT_TRUE(processes.Note("files.img", SerializeImage(ImageMagic::kFiles, records)));
  EXPECT_TRUE(processes.Note("ids-1.img", SerializeImage(ImageMagic::kIds, {&ids})));
  EXPECT_TRUE(processes.Note("fs-1.img", SerializeImage(ImageMagic::kFs, {&directories})));
  EXPECT_TRUE(processes.Note("mm-1.img", SerializeImage(ImageMagic::kMm, {&memory})));
  const auto all = processes.Processes();
  return all && all->contains(1) ? all->at(1).program : "nothing";
}

image::file_entry Fifo(uint32_t id, uint32_t of) {
  image::file_entry fifo;
  fifo.set_type(kFifo);
  fifo.set_id(id);
  fifo.mutable_fifo()->set_regf_id(of);
  return fifo;
}

TEST(Comparison, AFifoHasThePathOfItsFile) {
  image::file_entry file;
  file.set_type(kRegular);
  file.set_id(5);
  image::reg_file_entry& regular = *file.mutable_reg();
  regular.set_id(5);
  regular.set_flags(0);
  regular.set_pos(0);
  regular.set_name("/tmp/fifo");
  for (const auto set :
       {&image::fown_entry::set_uid, &image::fown_entry::set_euid, &image::fown_entry::set_pid})
    (regular.mutable_fown()->*set)(0);
  EXPECT_EQ(ProgramOf(6, {file, Fifo(6, 5)}), "/tmp/fifo");
  EXPECT_EQ(ProgramOf(5, {file}), "/tmp/fifo");
}

// Followed for ever, it would end the warden.
TEST(Comparison, AFifoThatIsItsOwnFileHasNoPath) {
  EXPECT_EQ(ProgramOf(6, {Fifo(6, 6)}), "");
  EXPECT_EQ(ProgramOf(6, {Fifo(6, 7), Fifo(7, 6)}), "");
}

}  // namespace
}  // namespace holdfast::warden
