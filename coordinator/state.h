// A job's life as a pure function: no I/O, no clock, no thread.
//
// Step takes a job and what happened, changes the job, and returns what is to be done, in order.
// The caller (controller.cc) first makes the changed job durable, then acts: so after a crash the
// journal knows no less than the wardens were told, unless it could not be written, which stops
// nothing. The table in state.cc says which event means something in which stage, and where it may
// lead; transitions.h names the functions behind it.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "coordinator/event.h"
#include "coordinator/job.h"

namespace holdfast::coordinator {

// Fails, with the job unchanged, when the event means nothing in the job's stage (kConflict), or
// when what is wished for is not possible now.
Result<std::vector<Action>> Step(Job& job, const Event& event, const Policy& policy);

// The Hello is of a job that was submitted another time than the known one with its id.
bool AreTwoJobs(const Job& known, const v1::Hello& hello);
// It is of a job that has the known one's id now. Slurm's record has borne out what it says of its
// start; what has been running already may also be left of the earlier one of two jobs.
bool IsNewJob(const Job& known, const v1::Hello& hello);

// Whether the table says that the event may lead a job from there to that stage. For tests: Step
// does not ask.
bool MayLead(const Job& before, const Event& event, Stage after);

// The table as a page of the documentation: docs/stages.md.
std::string DrawStages();

// How much longer the checkpoints of a job that has ended are kept; nothing for any other job.
std::optional<std::chrono::seconds> KeptFor(const Job& job, const Policy& policy);

}  // namespace holdfast::coordinator
