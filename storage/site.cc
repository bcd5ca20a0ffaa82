#include "storage/site.h"

#include "storage/checkpoint.h"

namespace holdfast::storage {

static_assert(config::kAutomatic == kCompressionAuto);

Result<Keys> LoadKeys(const config::Config& config) {
  HOLDFAST_TRY(const SiteKey site, LoadSiteKey(config.node.key_file));
  EncryptionKeys encryption;
  if (const std::string& path = config.checkpoint.encryption_key_file; !path.empty()) {
    HOLDFAST_TRY(encryption, LoadEncryptionKeys(path));
  }
  return Keys(site, std::move(encryption));
}

}  // namespace holdfast::storage
