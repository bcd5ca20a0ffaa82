// What libslurm's messages say, as this program's records. Used by libslurm_client.cc alone.
#pragma once

#include <slurm/slurm.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "coordinator/evacuations.h"
#include "coordinator/event.h"
#include "coordinator/slurm_client.h"

namespace holdfast::coordinator {

template <typename T, void (*Free)(T*)>
struct Freeing {
  void operator()(T* p) const { Free(p); }
};
template <typename T, void (*Free)(T*)>
using Owned = std::unique_ptr<T, Freeing<T, Free>>;
using JobMessage = Owned<job_info_msg_t, slurm_free_job_info_msg>;
using NodeMessage = Owned<node_info_msg_t, slurm_free_node_info_msg>;

// libslurm_users.cc
Result<std::vector<SlurmUser>> LoadUsersOfDatabase();

Record ToRecord(const slurm_job_info_t& info, int64_t asked_ns);
std::vector<NodeRecord> ToRecords(const NodeMessage& message);

}  // namespace holdfast::coordinator
