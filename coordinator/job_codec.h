// How a job's durable half is written: as messages of protocol/journal.proto, read and written
// whole. Used by the journal, and by the tests' restarts. Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "coordinator/job.h"

namespace holdfast::coordinator {

std::string Serialize(const Durable& job);
std::string Serialize(const Checkpoint& checkpoint);
std::string Serialize(const Move& move);

// Fail with kCorrupt on what is no such message or holds what cannot be, and with kUnsupported on a
// job of a newer version. Never with half of it.
Result<Durable> ParseJob(std::string_view bytes);
Result<Checkpoint> ParseCheckpoint(std::string_view bytes);
Result<Move> ParseMove(std::string_view bytes);

// The options in a Hello, and as they were written before there was job_options.h. kInvalid or
// kUnsupported says what is wrong with them.
Result<JobOptions> OptionsOf(const v1::Hello& hello);
Result<JobOptions> FromMessage(const v1::Options& old);

}  // namespace holdfast::coordinator
