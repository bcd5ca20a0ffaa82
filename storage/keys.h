// The site's secret keys: one authenticates manifests, others encrypt. Read by wardens and by
// root's `holdfast`; everybody else has none. Values; thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace holdfast::storage {

// 32 secret bytes shared by the nodes of the cluster. `path` holds them as 64 hex digits and must
// belong to root with mode 0400 or 0600; otherwise kDenied, saying so.
struct SiteKey {
  std::array<std::byte, 32> bytes;
};
Result<SiteKey> LoadSiteKey(const std::string& path);
// What the key is in one of the clusters that may share it: what one has written the others take
// for foreign. Without a name, as releases had it that knew of none, the key itself.
SiteKey InCluster(const SiteKey& key, std::string_view cluster);

// Keys that seal the keys of what is stored (storage/sealed_part.h). New checkpoints are sealed
// with the first; all open older ones, so that keys can be changed one after the other.
struct EncryptionKeys {
  std::vector<SiteKey> keys;  // none: nothing is encrypted, and nothing that is can be read
  std::string path;           // of the file they are from, for messages
};
// One key a line, else as LoadSiteKey.
Result<EncryptionKeys> LoadEncryptionKeys(const std::string& path);

// What a JobStore works with.
struct Keys {
  // NOLINTNEXTLINE(google-explicit-constructor): most know of nothing but the site key
  Keys(const SiteKey& key, EncryptionKeys encryption_keys = {})
      : site(key), encryption(std::move(encryption_keys)) {}
  // For a user's own look at their own files: manifests are compared with their digests, but
  // whether a warden wrote them is not known. Nothing that is read this way may be given to a
  // privileged program.
  static Keys Unauthenticated() { return Keys(); }

  std::optional<SiteKey> site;
  EncryptionKeys encryption;

 private:
  Keys() = default;
};

}  // namespace holdfast::storage
