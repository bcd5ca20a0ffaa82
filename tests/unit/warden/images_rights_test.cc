#include "warden/criu/images_rights.h"

#include <gmock/gmock.h>

#include <functional>

#include "warden/criu/images.h"

namespace holdfast::warden {
namespace {

using ::testing::HasSubstr;

const Identity kOwner{.uid = 1000, .gid = 1000, .groups = {1000, 44}};

std::string Image(ImageMagic magic, const google::protobuf::MessageLite& record) {
  const std::string bytes = record.SerializeAsString();
  const uint32_t words[] = {0x54564319, static_cast<uint32_t>(magic),
                            static_cast<uint32_t>(bytes.size())};
  return std::string(reinterpret_cast<const char*>(words), sizeof words) + bytes;
}

image::core_entry Core() {
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
  creds.add_cap_eff(0);
  creds.add_cap_bnd(~0U);  // as every process has it
  creds.set_secbits(0);
  return core;
}

Status Check(const image::core_entry& core, const std::string& label = "") {
  return CheckCoreRights("core-7.img", Image(ImageMagic::kCore, core), kOwner, label);
}

TEST(Rights, TheUsersOwnPass) { EXPECT_TRUE(Check(Core())); }

TEST(Rights, AnythingMoreIsDenied) {
  using Creds = image::creds_entry;
  const std::pair<const char*, std::function<void(Creds&)>> tampers[] = {
      {"uid 0", [](Creds& creds) { creds.set_uid(0); }},
      {"uid 0", [](Creds& creds) { creds.set_euid(0); }},
      {"uid 0", [](Creds& creds) { creds.set_suid(0); }},
      {"uid 1001", [](Creds& creds) { creds.set_fsuid(1001); }},
      {"gid 0", [](Creds& creds) { creds.set_gid(0); }},
      {"gid 0", [](Creds& creds) { creds.set_egid(0); }},
      {"gid 0", [](Creds& creds) { creds.set_sgid(0); }},
      {"gid 0", [](Creds& creds) { creds.set_fsgid(0); }},
      {"group 6", [](Creds& creds) { creds.add_groups(6); }},
      {"capabilities", [](Creds& creds) { creds.add_cap_inh(1); }},
      {"capabilities", [](Creds& creds) { creds.add_cap_prm(1 << 21); }},
      {"capabilities", [](Creds& creds) { creds.add_cap_eff(1); }},
      {"capabilities", [](Creds& creds) { creds.add_cap_amb(1); }},
      {"securebits", [](Creds& creds) { creds.set_secbits(1); }},
      {"security label", [](Creds& creds) { creds.set_lsm_profile("unconfined_t"); }},
      {"security label", [](Creds& creds) { creds.set_lsm_sockcreate("other"); }},
      {"AppArmor", [](Creds& creds) { creds.set_apparmor_data("x"); }},
  };
  for (const auto& [what, tamper] : tampers) {
    image::core_entry core = Core();
    tamper(*core.mutable_thread_core()->mutable_creds());
    const Status status = Check(core);
    ASSERT_FALSE(status) << what;
    EXPECT_EQ(status.error().code(), Code::kDenied);
    EXPECT_THAT(status.error().message(), HasSubstr(what));
    EXPECT_THAT(status.error().message(), HasSubstr("core-7.img"));
  }
}

TEST(Rights, HarmlessBitsPass) {
  image::core_entry core = Core();
  core.mutable_thread_core()->mutable_creds()->set_secbits(1 << 4);  // SECBIT_KEEP_CAPS
  EXPECT_TRUE(Check(core));
}

TEST(Rights, TheJobsOwnLabelPasses) {
  image::core_entry core = Core();
  core.mutable_thread_core()->mutable_creds()->set_lsm_profile("job_t");
  EXPECT_TRUE(Check(core, "job_t"));
  EXPECT_FALSE(Check(core, "other_t"));
}

TEST(Rights, MissingCredentialsAreNotTakenForNone) {
  image::core_entry core = Core();
  core.clear_thread_core();
  const Status status = Check(core);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), Code::kCorrupt);
  core.mutable_tc()->set_task_state(6);  // a zombie has none
  EXPECT_TRUE(Check(core));
}

TEST(Rights, DeletedFilesAreTheUsers) {
  image::ghost_file_entry ghost;
  ghost.set_uid(1000);
  ghost.set_gid(44);
  ghost.set_mode(0100644);
  const auto check = [&] {
    return CheckGhostRights("ghost-file-1.img", Image(ImageMagic::kGhostFile, ghost), kOwner);
  };
  EXPECT_TRUE(check());
  ghost.set_gid(6);
  EXPECT_FALSE(check());
  ghost.set_gid(1000);
  ghost.set_uid(0);
  ASSERT_FALSE(check());
  EXPECT_EQ(check().error().code(), Code::kDenied);
}

}  // namespace
}  // namespace holdfast::warden
