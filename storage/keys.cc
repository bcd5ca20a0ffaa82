#include "storage/keys.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sodium.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/files.h"
#include "storage/digest.h"

namespace holdfast::storage {
namespace {

// The text of a file that only root can have written and nobody else can read.
Result<std::string> ReadSecret(const std::string& what, const std::string& path) {
  HOLDFAST_TRY(const UniqueFd file, OpenFile(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return FailErrno("stat " + path);
  const mode_t mode = status.st_mode & 07777;
  if (!S_ISREG(status.st_mode) || status.st_uid != 0 || (mode != 0400 && mode != 0600))
    return Fail(Code::kDenied,
                fmt::format("{} {}: it must be a file of root's with mode 0400 or 0600, but "
                            "it belongs to uid {} with mode {:04o}; use chown and chmod",
                            what, path, status.st_uid, mode));
  return ReadAll(file);
}

std::optional<SiteKey> ParseKey(std::string_view text) {
  SiteKey key;
  size_t length = 0;
  const char* end = nullptr;
  // Stops at the first character that is no hex digit, or when the key is full.
  sodium_hex2bin(reinterpret_cast<unsigned char*>(key.bytes.data()), key.bytes.size(), text.data(),
                 text.size(), nullptr, &length, &end);
  if (length != key.bytes.size() || end != text.data() + text.size()) return std::nullopt;
  return key;
}

// One key for each line; nothing if a line is not one.
std::optional<std::vector<SiteKey>> ParseKeys(std::string_view text) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  std::vector<SiteKey> keys;
  while (true) {
    const size_t end = std::min(text.find('\n'), text.size());
    const auto key = ParseKey(text.substr(0, end));
    if (!key) return std::nullopt;
    keys.push_back(*key);
    if (end == text.size()) return keys;
    text.remove_prefix(end + 1);
  }
}

// Names the key that is derived from the site key: do not change.
constexpr std::string_view kClusterPurpose = "holdfast cluster key v1";

constexpr const char* kMakeOne = "make one with `openssl rand -hex 32`";

}  // namespace

Result<SiteKey> LoadSiteKey(const std::string& path) {
  HOLDFAST_TRY(std::string text, ReadSecret("site key", path));
  const auto keys = ParseKeys(text);
  sodium_memzero(text.data(), text.size());
  if (!keys || keys->size() != 1)
    return Fail(Code::kInvalid,
                fmt::format("site key {}: it must hold 64 hex digits and nothing else; {}", path,
                            kMakeOne));
  return keys->front();
}

SiteKey InCluster(const SiteKey& key, std::string_view cluster) {
  if (cluster.empty()) return key;
  const std::array name{std::as_bytes(std::span(cluster))};
  return {MacOf(key, kClusterPurpose, name)};
}

Result<EncryptionKeys> LoadEncryptionKeys(const std::string& path) {
  HOLDFAST_TRY(std::string text, ReadSecret("encryption key", path));
  auto keys = ParseKeys(text);
  sodium_memzero(text.data(), text.size());
  if (!keys)
    return Fail(Code::kInvalid,
                fmt::format("encryption key {}: it must hold 64 hex digits a line, the key in use "
                            "first, and nothing else; {}",
                            path, kMakeOne));
  return EncryptionKeys{std::move(*keys), path};
}

}  // namespace holdfast::storage
