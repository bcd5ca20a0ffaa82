// A directory on a local, network or parallel filesystem: objects are files in BASE/JOB/.
//
// What it asks of the filesystem: rename or link within a directory, fsync, and that a file's
// writer reads what it wrote. It does not rely on O_APPEND, flock or open-unlinked files (NFS).
//
// Rights: every name is looked up as the job's user (base/identity.h), who is also the only one
// that may own or enter the job's directory. Below BASE no symbolic link is followed and only
// regular files are opened, so a user can mislead it at most to another of their own files, which
// the digests then reveal.
#pragma once

#include <memory>
#include <string>

#include "base/identity.h"
#include "storage/backend.h"
#include "storage/registry.h"

namespace holdfast::storage {

// The objects of `job` below the absolute path `base`. Nothing is created yet.
std::unique_ptr<Backend> MakePosixBackend(std::string base, std::string job, Identity owner);

namespace posix {
Result<std::unique_ptr<Backend>> Open(const JobPlace& place, const config::Cloud& settings);
// The path that a URL of ours names.
std::string_view DirectoryOf(std::string_view url);
}  // namespace posix

}  // namespace holdfast::storage
