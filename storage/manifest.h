// The manifest of a checkpoint as the HDF5 file manifest-CKPT.h5 (docs/formats/manifest.md). Its
// user block, which HDF5 skips, holds a MAC over the rest, made with the site key as it is in the
// job's cluster: nothing of the file is parsed before that has been verified. It also holds a
// digest, for those who have no key.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "storage/checkpoint.h"

namespace holdfast::storage {

// Nobody's manifest is larger: 100 bytes for each of 100,000 pods.
inline constexpr uint64_t kMaxManifestBytes = 16ULL << 20;

Result<std::vector<std::byte>> EncodeManifest(const Manifest& manifest, const SiteKey& key);

// What the caller knows of a manifest, so that another job's or checkpoint's in its place is
// refused.
struct ManifestIdentity {
  JobName job;
  uint32_t checkpoint = 0;
  uid_t uid = 0;
};
// kCorrupt if it is not what this site's key authenticated; kDenied if it is another's. Without a
// key it is only compared with its own digest.
Result<Manifest> DecodeManifest(std::span<const std::byte> file, const std::optional<SiteKey>& key,
                                const ManifestIdentity& expected);

}  // namespace holdfast::storage
