// What storage says of a pod's part and of a checkpoint, as the coordinator is told of it and tells
// it on. Thread-safe as pure functions are.
#pragma once

#include "base/result.h"
#include "protocol/holdfast.pb.h"
#include "storage/checkpoint.h"

namespace holdfast::warden {

v1::Part ToPart(const storage::PartSummary& summary);
// kInternal if it has no digest.
Result<storage::PartSummary> FromPart(const v1::Part& part);
v1::Saved ToSaved(const storage::Manifest& manifest);

}  // namespace holdfast::warden
