// Slurm's database, by its own library: who is an operator or administrator, and who coordinates
// which accounts.
#include <slurm/slurmdb.h>

#include <cerrno>

#include "coordinator/libslurm_records.h"

namespace holdfast::coordinator {
namespace {

struct FreeList {
  void operator()(list_t* list) const { slurm_list_destroy(list); }
};
using List = std::unique_ptr<list_t, FreeList>;

template <typename T, typename Do>
void ForEach(list_t* list, Do each) {
  if (list == nullptr) return;
  list_itr_t* at = slurm_list_iterator_create(list);
  while (auto* item = static_cast<T*>(slurm_list_next(at))) each(*item);
  slurm_list_iterator_destroy(at);
}

SlurmUser::Level LevelOf(uint16_t level) {
  if (level == SLURMDB_ADMIN_SUPER_USER) return SlurmUser::Level::kAdministrator;
  if (level == SLURMDB_ADMIN_OPERATOR) return SlurmUser::Level::kOperator;
  return SlurmUser::Level::kNone;
}

}  // namespace

Result<std::vector<SlurmUser>> LoadUsersOfDatabase() {
  slurm_conf_t* raw = nullptr;
  if (slurm_load_ctl_conf(0, &raw) != SLURM_SUCCESS)
    return Fail(Code::kUnavailable, "asking whether Slurm has a database: slurmctld is away");
  const Owned<slurm_conf_t, slurm_free_ctl_conf> configuration(raw);
  const std::string_view storage = configuration->accounting_storage_type != nullptr
                                       ? configuration->accounting_storage_type
                                       : "";
  if (storage != "accounting_storage/slurmdbd") return std::vector<SlurmUser>();
  uint16_t flags = 0;
  void* database = slurmdb_connection_get(&flags);
  slurmdb_user_cond_t condition = {};
  condition.with_coords = 1;
  errno = 0;
  const List found(slurmdb_users_get(database, &condition));
  const int error = errno;
  if (database != nullptr) slurmdb_connection_close(&database);
  if (!found)
    return Fail(Code::kUnavailable,
                std::string("asking slurmdbd for its users: ") + slurm_strerror(error));
  std::vector<SlurmUser> users;
  ForEach<slurmdb_user_rec_t>(found.get(), [&](const slurmdb_user_rec_t& record) {
    if (record.name == nullptr) return;
    SlurmUser user{.name = record.name, .level = LevelOf(record.admin_level), .coordinates = {}};
    ForEach<slurmdb_coord_rec_t>(record.coord_accts, [&](const slurmdb_coord_rec_t& account) {
      if (account.name != nullptr) user.coordinates.emplace_back(account.name);
    });
    if (user.level != SlurmUser::Level::kNone || !user.coordinates.empty())
      users.push_back(std::move(user));
  });
  return users;
}

}  // namespace holdfast::coordinator
