#include <fcntl.h>
#include <fmt/format.h>
#include <sodium.h>

#include "base/files.h"
#include "storage/checkpoint.h"

namespace holdfast::storage {

Result<SiteKey> LoadSiteKey(const std::string& path) {
  HOLDFAST_TRY(const UniqueFd file, OpenFile(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return FailErrno("stat " + path);
  const mode_t mode = status.st_mode & 07777;
  if (!S_ISREG(status.st_mode) || status.st_uid != 0 || (mode != 0400 && mode != 0600))
    return Fail(Code::kDenied,
                fmt::format("site key {}: it must be a file of root's with mode 0400 or 0600, but "
                            "it belongs to uid {} with mode {:04o}; use chown and chmod",
                            path, status.st_uid, mode));
  HOLDFAST_TRY(std::string text, ReadAll(file));
  SiteKey key;
  size_t length = 0;
  const char* end = nullptr;
  // Stops at the first character that is no hex digit, or when the key is full.
  sodium_hex2bin(reinterpret_cast<unsigned char*>(key.bytes.data()), key.bytes.size(), text.data(),
                 text.size(), nullptr, &length, &end);
  const std::string_view rest(end, text.data() + text.size());
  const bool whole = length == key.bytes.size() && (rest.empty() || rest == "\n");
  sodium_memzero(text.data(), text.size());
  if (!whole)
    return Fail(Code::kInvalid, "site key " + path +
                                    ": it must hold 64 hex digits and nothing else; make one with "
                                    "`openssl rand -hex 32`");
  return key;
}

}  // namespace holdfast::storage
