#include "storage/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "storage/digest.h"
#include "storage/hdf5_file.h"
#include "storage/layout.h"

namespace holdfast::storage {
namespace {

constexpr int64_t kManifestVersion = 2;
constexpr int64_t kNamelessManifestVersion = 1;  // of jobs without cluster and time of submission
constexpr const char* kManifestFormat = "holdfast manifest";
constexpr const char* kFilesTable = "/files";  // one row, or no such table
// Names the key that is derived from the site key: do not change.
constexpr std::string_view kMacPurpose = "holdfast manifest authentication v1";

// The start of the file. HDF5 wants user blocks of 512 bytes or more.
struct UserBlock {
  std::array<char, 8> magic;
  uint32_t version;
  uint32_t reserved;
  Digest mac;
  Digest digest;  // of all but the two; zeros in manifests of releases before it was there
};
constexpr size_t kUserBlockBytes = 512;
constexpr size_t kMacOffset = offsetof(UserBlock, mac);
constexpr std::array<char, 8> kMagic{'H', 'O', 'L', 'D', 'F', 'A', 'S', 'T'};

struct PodRow {
  uint32_t pod = 0;
  std::string hostname;
  std::string part;
  Digest digest{};
  uint64_t raw_bytes = 0;
  uint64_t stored_bytes = 0;
  uint32_t processes = 0;
};

Digest DigestOfFile(std::span<const std::byte> file) {
  std::vector<std::byte> covered(file.begin(), file.end());
  std::fill_n(covered.begin() + static_cast<ptrdiff_t>(kMacOffset), 2 * sizeof(Digest),
              std::byte{0});
  return HashOf(covered);
}

// Of all but the MAC itself.
Digest MacOfFile(std::span<const std::byte> file, const SiteKey& key, const JobName& job) {
  const std::array covered{file.first(kMacOffset), file.subspan(kMacOffset + sizeof(Digest))};
  return MacOf(InCluster(key, job.cluster), kMacPurpose, covered);
}

int64_t VersionOf(const JobName& job) {
  return job.submitted.empty() ? kNamelessManifestVersion : kManifestVersion;
}

}  // namespace

// The names of columns are the format: do not change.
template <>
struct TableOf<PodRow> {
  static constexpr std::tuple kColumns{Column{"pod", &PodRow::pod},
                                       Column{"hostname", &PodRow::hostname},
                                       Column{"part", &PodRow::part},
                                       Column{"digest", &PodRow::digest},
                                       Column{"raw", &PodRow::raw_bytes},
                                       Column{"stored", &PodRow::stored_bytes},
                                       Column{"processes", &PodRow::processes}};
};

namespace {

Status CheckManifest(const Manifest& manifest) {
  if (manifest.checkpoint == 0 || manifest.parts.empty() ||
      manifest.hostnames.size() != manifest.parts.size())
    return Fail(Code::kInvalid, "manifest: no number, no parts, or not one hostname a part");
  for (size_t pod = 0; pod < manifest.parts.size(); ++pod) {
    const PartSummary& part = manifest.parts[pod];
    if (part.pod != pod || part.name != PartKey(manifest.checkpoint, part.pod))
      return Fail(Code::kInvalid,
                  fmt::format("manifest: part {} is '{}' of pod {}", pod, part.name, part.pod));
  }
  if (const auto& files = manifest.files;
      files && (files->pod != manifest.parts.size() ||
                files->name != PartKey(manifest.checkpoint, files->pod)))
    return Fail(Code::kInvalid, fmt::format("manifest: the files' part is '{}'", files->name));
  return {};
}

Result<std::vector<std::byte>> WriteManifest(const Manifest& manifest) {
  const Hdf5Session session;
  HOLDFAST_TRY(Hdf5File file, Hdf5File::Create(kUserBlockBytes));
  HOLDFAST_CHECK(file.AddText("/", "format", kManifestFormat));
  HOLDFAST_CHECK(file.AddText("/", "holdfast", HOLDFAST_VERSION));
  const int64_t version = VersionOf(manifest.job);
  if (version >= kManifestVersion) {
    HOLDFAST_CHECK(file.AddText("/", "cluster", manifest.job.cluster));
    HOLDFAST_CHECK(file.AddText("/", "submitted", manifest.job.submitted));
  }
  for (const auto& [name, value] :
       std::initializer_list<std::pair<const char*, int64_t>>{{"version", version},
                                                              {"job_id", manifest.job.id},
                                                              {"checkpoint", manifest.checkpoint},
                                                              {"unix_ms", manifest.unix_ms},
                                                              {"uid", manifest.uid},
                                                              {"gid", manifest.gid}})
    HOLDFAST_CHECK(file.AddNumber("/", name, value));
  HOLDFAST_CHECK(file.AddGroup("/about"));
  for (const auto& [name, value] : manifest.attributes)
    HOLDFAST_CHECK(file.AddText("/about", name, value));
  std::vector<PodRow> pods;
  for (const PartSummary& part : manifest.parts)
    pods.push_back({part.pod, manifest.hostnames[part.pod], part.name, part.digest, part.raw_bytes,
                    part.stored_bytes, part.processes});
  HOLDFAST_CHECK(file.AddTable("/pods", pods));
  if (manifest.files) {
    const PartSummary& part = *manifest.files;
    HOLDFAST_CHECK(file.AddTable(
        kFilesTable, std::vector<PodRow>{{part.pod, "", part.name, part.digest, part.raw_bytes,
                                          part.stored_bytes, part.processes}}));
  }
  return file.Image();
}

Result<Manifest> ReadManifest(std::span<const std::byte> image) {
  const Hdf5Session session;
  HOLDFAST_TRY(Hdf5File file, Hdf5File::Open(image));
  HOLDFAST_TRY(const std::string format, file.Text("/", "format"));
  HOLDFAST_TRY(const int64_t version, file.Number("/", "version"));
  if (format != kManifestFormat || version < kNamelessManifestVersion || version > kManifestVersion)
    return Fail(
        Code::kUnsupported,
        fmt::format("manifest is of format '{}' version {}; this is Holdfast {}, which "
                    "reads versions {} to {}",
                    format, version, HOLDFAST_VERSION, kNamelessManifestVersion, kManifestVersion));
  Manifest manifest;
  if (version >= kManifestVersion) {
    HOLDFAST_TRY(manifest.job.cluster, file.Text("/", "cluster"));
    HOLDFAST_TRY(manifest.job.submitted, file.Text("/", "submitted"));
  }
  HOLDFAST_TRY(manifest.unix_ms, file.Number("/", "unix_ms"));
  for (const auto& [name, value] : std::initializer_list<std::pair<const char*, uint32_t*>>{
           {"job_id", &manifest.job.id},
           {"checkpoint", &manifest.checkpoint},
           {"uid", &manifest.uid},
           {"gid", &manifest.gid}}) {
    HOLDFAST_TRY(const int64_t number, file.Number("/", name));
    *value = static_cast<uint32_t>(number);
  }
  HOLDFAST_TRY(manifest.attributes, file.Texts("/about"));
  HOLDFAST_TRY(auto pods, file.Table<PodRow>("/pods"));
  for (PodRow& pod : pods) {
    manifest.hostnames.push_back(std::move(pod.hostname));
    manifest.parts.push_back(
        {pod.pod, std::move(pod.part), pod.digest, pod.raw_bytes, pod.stored_bytes, pod.processes});
  }
  HOLDFAST_TRY(const auto names, file.Names("/"));
  if (std::ranges::contains(names, kFilesTable + 1)) {
    HOLDFAST_TRY(auto files, file.Table<PodRow>(kFilesTable));
    if (files.size() != 1) return Fail(Code::kInvalid, "manifest: not one part with files");
    const PodRow& row = files[0];
    manifest.files =
        PartSummary{row.pod, row.part, row.digest, row.raw_bytes, row.stored_bytes, row.processes};
  }
  HOLDFAST_CHECK(CheckManifest(manifest));
  return manifest;
}

}  // namespace

Result<std::vector<std::byte>> EncodeManifest(const Manifest& manifest, const SiteKey& key) {
  HOLDFAST_CHECK(CheckManifest(manifest));
  HOLDFAST_TRY(std::vector<std::byte> file, WriteManifest(manifest));
  UserBlock block{.magic = kMagic,
                  .version = static_cast<uint32_t>(VersionOf(manifest.job)),
                  .reserved = 0,
                  .mac = {},
                  .digest = {}};
  std::memcpy(file.data(), &block, sizeof block);
  block.digest = DigestOfFile(file);
  std::memcpy(file.data(), &block, sizeof block);
  block.mac = MacOfFile(file, key, manifest.job);
  std::memcpy(file.data(), &block, sizeof block);
  return file;
}

Result<Manifest> DecodeManifest(std::span<const std::byte> file, const std::optional<SiteKey>& key,
                                const ManifestIdentity& expected) {
  UserBlock block;
  if (file.size() <= kUserBlockBytes)
    return Fail(Code::kCorrupt, fmt::format("only {} bytes long", file.size()));
  std::memcpy(&block, file.data(), sizeof block);
  if (block.magic != kMagic) return Fail(Code::kCorrupt, "not a Holdfast manifest");
  if (block.version < kNamelessManifestVersion || block.version > kManifestVersion)
    return Fail(
        Code::kUnsupported,
        fmt::format("manifest of version {}; this is Holdfast {}, which reads versions {} to {}",
                    block.version, HOLDFAST_VERSION, kNamelessManifestVersion, kManifestVersion));
  if (!key && block.digest != Digest{} && block.digest != DigestOfFile(file))
    return Fail(Code::kCorrupt, "not what was written there: its digest differs");
  if (key && !SameMac(block.mac, MacOfFile(file, *key, expected.job)))
    return Fail(Code::kCorrupt,
                fmt::format("not authenticated by this site's key: it was changed, or written with "
                            "another key{}",
                            expected.job.cluster.empty()
                                ? ""
                                : ", or by another cluster than " + expected.job.cluster));
  HOLDFAST_TRY(Manifest manifest, ReadManifest(file));
  if (manifest.job != expected.job || manifest.uid != expected.uid ||
      manifest.checkpoint != expected.checkpoint)
    return Fail(Code::kDenied,
                fmt::format("it is checkpoint {} of {}, of uid {}, put in the place of checkpoint "
                            "{} of {}, of uid {}",
                            manifest.checkpoint, manifest.job.Text(), manifest.uid,
                            expected.checkpoint, expected.job.Text(), expected.uid));
  return manifest;
}

}  // namespace holdfast::storage
