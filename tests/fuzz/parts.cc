// HDF5 files of ours: a part, a sealed part, and a manifest behind its MAC. Nobody but root can
// give a warden one that it believes; without a key, prune and verify read manifests that users
// wrote.
#include <cstring>

#include "storage/layout.h"
#include "storage/manifest.h"
#include "storage/part.h"
#include "storage/sealed_part.h"
#include "tests/fuzz/fuzz.h"

// libhdf5 forgets memory when it fails.
extern "C" const char* __lsan_default_suppressions() { return "leak:libhdf5"; }

namespace holdfast::fuzz {

using namespace storage;

namespace {

// docs/formats/manifest.md: where MAC and digest are.
constexpr size_t kDigestAt = 48, kDigestBytes = 32;

}  // namespace

void Feed(std::string_view bytes) {
  switch (Choose(bytes, 3)) {
    case 0:
      (void)DecodePart(AsBytes(bytes));
      return;
    case 1:
      (void)ReadSealedPart(AsBytes(bytes));
      return;
    default:
      std::string file(bytes);
      // Zeros are not compared.
      if (file.size() > kDigestAt + kDigestBytes)
        std::memset(file.data() + kDigestAt, 0, kDigestBytes);
      (void)DecodeManifest(AsBytes(file), std::nullopt,
                           {.job = {"lab", 7, "20261128T004824Z"}, .checkpoint = 1, .uid = 8});
  }
}

std::vector<std::string> Seeds() {
  Part part;
  part.job = {"lab", 7, "20261128T004824Z"};
  part.checkpoint = 1;
  part.info = {
      .pod = 0, .node = "n1", .hostname = "n1", .owner = {.uid = 8, .gid = 8, .groups = {8}}};
  part.streams = {{"pages-1.img", 1 << 20}};
  part.packs = {{PackKey(1, 0, 0), 1000}};
  part.files = {{.path = "/home/a", .size_bytes = 5}};
  part.images = {{"core-2.img", "x"}};
  const auto plain = EncodePart(part);
  const SiteKey key{{std::byte{1}}};
  const auto sealed = SealPart(part, *plain, key);
  Manifest manifest{.job = {"lab", 7, "20261128T004824Z"},
                    .checkpoint = 1,
                    .unix_ms = 1,
                    .uid = 8,
                    .gid = 8,
                    .hostnames = {"n1"},
                    .parts = {},
                    .attributes = {{"cpu", "x"}}};
  manifest.parts.push_back({.pod = 0,
                            .name = PartKey(1, 0),
                            .digest = {},
                            .raw_bytes = 1,
                            .stored_bytes = 1,
                            .processes = 1});
  const auto authentic = EncodeManifest(manifest, key);
  return {'\0' + AsText(*plain), '\1' + AsText(*sealed), '\2' + AsText(*authentic)};
}

}  // namespace holdfast::fuzz
