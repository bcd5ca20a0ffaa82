#include "storage/commit.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "storage/digest.h"
#include "storage/layout.h"
#include "storage/manifest.h"
#include "storage/sealed_part.h"

namespace holdfast::storage {
namespace {

// Numbers of the manifests that are there, authentic or not, ascending.
Result<std::vector<uint32_t>> ManifestNumbers(const Job& job) {
  HOLDFAST_TRY(const auto objects, job.backend.List("manifest-"));
  std::vector<uint32_t> numbers;
  for (const ObjectInfo& object : objects) {
    const auto name = ParseKey(object.key);
    // An empty one says that the checkpoint was discarded.
    if (name && !name->unfinished && object.size_bytes > 0) numbers.push_back(name->checkpoint);
  }
  std::ranges::sort(numbers);
  return numbers;
}

Result<std::set<std::string>> PartNames(const Job& job) {
  HOLDFAST_TRY(const auto objects, job.backend.List("parts/"));
  std::set<std::string> names;
  for (const ObjectInfo& object : objects) names.insert(object.key);
  return names;
}

Status CheckParts(const Job& job, const Manifest& manifest, const std::set<std::string>& present) {
  for (const PartSummary& part : manifest.AllParts())
    if (!present.contains(part.name))
      return Fail(Code::kCorrupt, fmt::format("checkpoint {}: {} is missing", manifest.checkpoint,
                                              job.backend.Describe(part.name)));
  return {};
}

// Whether an error tells something about the object rather than about the way to it.
bool IsVerdict(Code code) {
  return code == Code::kCorrupt || code == Code::kDenied || code == Code::kUnsupported ||
         code == Code::kNotFound || code == Code::kInvalid;
}

Status RefuseUnlessNewest(const Job& job, uint32_t checkpoint) {
  HOLDFAST_TRY(const auto newest, NewestCheckpoint(job));
  if (newest && newest->checkpoint >= checkpoint)
    return Fail(Code::kConflict, fmt::format("checkpoint {} of {}: checkpoint {} is committed",
                                             checkpoint, job.name.Text(), newest->checkpoint));
  return {};
}

// Reads the part that the manifest names, and decodes what has been found to be it.
template <typename Decode>
auto DecodeWith(const Job& job, const PartSummary& summary, Decode decode)
    -> decltype(decode(std::span<const std::byte>())) {
  const std::string path = job.backend.Describe(summary.name);
  HOLDFAST_TRY(const auto file, ReadObject(job.backend, summary.name, kMaxPartBytes));
  if (HashOf(file) != summary.digest)
    return Fail(Code::kCorrupt, path + ": not what the checkpoint's manifest names");
  return decode(file).transform_error([&](Error error) { return std::move(error).Wrap(path); });
}

}  // namespace

Result<Manifest> LoadManifest(const Job& job, uint32_t checkpoint) {
  const std::string key = ManifestKey(checkpoint);
  HOLDFAST_TRY(const auto file, ReadObject(job.backend, key, kMaxManifestBytes));
  if (file.empty())
    return Fail(Code::kNotFound, job.backend.Describe(key) + ": the checkpoint was discarded");
  return DecodeManifest(file, job.keys.site, {job.name, checkpoint, job.uid})
      .transform_error(
          [&](Error error) { return std::move(error).Wrap(job.backend.Describe(key)); });
}

Result<JobStore::Listing> ListCheckpoints(const Job& job) {
  HOLDFAST_TRY(const auto numbers, ManifestNumbers(job));
  HOLDFAST_TRY(const auto parts, PartNames(job));
  JobStore::Listing listing;
  for (const uint32_t number : numbers) {
    auto manifest = LoadManifest(job, number);
    Status whole =
        manifest ? CheckParts(job, *manifest, parts) : Status(std::unexpected(manifest.error()));
    if (whole)
      listing.good.push_back(std::move(*manifest));
    else
      listing.bad.emplace_back(number, std::move(whole).error());
  }
  return listing;
}

Result<std::optional<Manifest>> NewestCheckpoint(const Job& job) {
  HOLDFAST_TRY(auto numbers, ManifestNumbers(job));
  std::ranges::reverse(numbers);
  for (const uint32_t number : numbers) {
    auto manifest = LoadManifest(job, number);
    if (manifest) return std::move(*manifest);
    if (!IsVerdict(manifest.error().code())) return std::unexpected(std::move(manifest).error());
  }
  return std::nullopt;
}

Status CommitCheckpoint(const Job& job, const Manifest& manifest) {
  if (manifest.job != job.name || manifest.uid != job.uid)
    return Fail(Code::kInvalid,
                fmt::format("committing into {} of uid {}: the manifest is of "
                            "{} of uid {}",
                            job.name.Text(), job.uid, manifest.job.Text(), manifest.uid));
  HOLDFAST_CHECK(RefuseUnlessNewest(job, manifest.checkpoint));
  HOLDFAST_TRY(const auto parts, PartNames(job));
  HOLDFAST_CHECK(CheckParts(job, manifest, parts));
  if (!job.keys.site)
    return Fail(Code::kDenied, fmt::format("committing checkpoint {} of {}: without the site key",
                                           manifest.checkpoint, job.name.Text()));
  HOLDFAST_TRY(const auto file, EncodeManifest(manifest, *job.keys.site));
  return job.backend.PutIfAbsent(ManifestKey(manifest.checkpoint), file);
}

Status DiscardCheckpoint(const Job& job, uint32_t checkpoint) {
  const std::string key = ManifestKey(checkpoint);
  const Status put = job.backend.PutIfAbsent(key, {});
  if (!put && put.error().code() == Code::kNotFound) return {};  // the job has no directory
  if (!put && put.error().code() != Code::kConflict) return put;
  if (!put) {
    HOLDFAST_TRY(const auto manifest, job.backend.Open(key));
    if (manifest->size_bytes() > 0)
      return Fail(Code::kConflict, fmt::format("discarding checkpoint {} of {}: it is committed",
                                               checkpoint, job.name.Text()));
  }
  HOLDFAST_TRY(const auto objects, job.backend.List(""));
  for (const ObjectInfo& object : objects) {
    const auto name = ParseKey(object.key);
    if (name && name->checkpoint == checkpoint && object.key != key)
      HOLDFAST_CHECK(job.backend.Delete(object.key));
  }
  return {};
}

Result<Part> LoadPart(const Job& job, const PartSummary& summary) {
  return DecodeWith(job, summary, [&](std::span<const std::byte> file) -> Result<Part> {
    HOLDFAST_TRY(const auto sealed, ReadSealedPart(file));
    if (!sealed) return DecodePart(file);
    HOLDFAST_TRY(const auto unsealed, UnsealPart(*sealed, job.keys.encryption));
    return DecodePart(unsealed);
  });
}

Result<PartPacks> LoadPacks(const Job& job, const PartSummary& summary) {
  return DecodeWith(job, summary, [&](std::span<const std::byte> file) -> Result<PartPacks> {
    HOLDFAST_TRY(auto sealed, ReadSealedPart(file));
    if (sealed) return PartPacks{std::move(sealed->packs), true};
    HOLDFAST_TRY(Part part, DecodePart(file));
    return PartPacks{std::move(part.packs), false};
  });
}

}  // namespace holdfast::storage
