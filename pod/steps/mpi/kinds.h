// What --mpi and SLURM_MPI_TYPE may name.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "pod/steps/messages.h"
#include "pod/steps/options.h"

namespace holdfast::pod {

// What a step offers for that name; nothing if it has no meaning here. Without a name a step offers
// everything, so that a program of any MPI finds what it knows.
std::optional<MpiOrder> MpiOffered(std::string_view name);

// As Slurm complains of others.
Complaint UnknownMpi(const std::string& name);

// With what a step's tasks and daemons have to know of its nodes.
MpiOrder Placed(MpiOrder order, const StepGrant& grant);

// What `srun --mpi=list` prints.
std::string MpiKinds();

}  // namespace holdfast::pod
