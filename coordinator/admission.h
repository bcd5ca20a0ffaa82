// Who is let in. Pure; asked by warden_service.cc of every Hello.
#pragma once

#include "base/result.h"
#include "coordinator/event.h"
#include "protocol/holdfast.pb.h"

namespace holdfast::coordinator {

// Whether Slurm's record bears out what the warden says of its job. kDenied if it can never be
// admitted.
Status CheckHello(const v1::Hello& hello, const Record& record);

}  // namespace holdfast::coordinator
