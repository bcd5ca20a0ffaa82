// Brings a journal of an older version to this program's. Used by Journal::Open alone.
#pragma once

#include <cstdint>

#include "base/result.h"

struct sqlite3;

namespace holdfast::coordinator {

// Versions 1 to 4, in one transaction: on an error the journal is as it was.
Status UpgradeJournal(sqlite3* database, int64_t version);

}  // namespace holdfast::coordinator
