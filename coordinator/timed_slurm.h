// Slurm, with every request timed and its failures counted (metrics.h). Thread-safe, as what it
// wraps.
#pragma once

#include <memory>

#include "coordinator/metrics.h"
#include "coordinator/slurm_client.h"

namespace holdfast::coordinator {

// `metrics` must outlive it.
std::unique_ptr<SlurmClient> TimeRequests(std::unique_ptr<SlurmClient> slurm, Metrics& metrics);

}  // namespace holdfast::coordinator
