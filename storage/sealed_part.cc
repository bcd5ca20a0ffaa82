#include "storage/sealed_part.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "storage/cipher.h"
#include "storage/digest.h"
#include "storage/hdf5_file.h"
#include "storage/pack_table.h"

namespace holdfast::storage {
namespace {

constexpr int64_t kSealedPartVersion = 2;
constexpr int64_t kNamelessSealedPartVersion = 1;  // of jobs without cluster and time of submission
constexpr const char* kSealedPartFormat = "holdfast sealed part";
// Name keys that are derived from the site's: do not change.
constexpr std::string_view kNamePurpose = "holdfast encryption key name v1";
constexpr std::string_view kSealPurpose = "holdfast part encryption v1";
constexpr size_t kNameBytes = 8;

CipherKey SealingKey(const SiteKey& key, const JobName& job) {
  return MacOf(InCluster(key, job.cluster), kSealPurpose, {});
}

// So that a part cannot stand in another's place.
std::string About(const JobName& job, uint32_t checkpoint, uint32_t pod) {
  if (job.submitted.empty())
    return fmt::format("holdfast sealed part v1 job {} checkpoint {} pod {}", job.id, checkpoint,
                       pod);
  return fmt::format("holdfast sealed part v2 job {} checkpoint {} pod {}", job.Directory(),
                     checkpoint, pod);
}

std::string KeyProblem(const SealedPart& part, const EncryptionKeys& keys) {
  const std::string wanted = fmt::format("encrypted with key {}", part.key_name);
  if (keys.keys.empty())
    return wanted +
           ", and no encryption key is configured: let checkpoint.encryption_key_file name a file "
           "that has that key";
  std::vector<std::string> names;
  for (const SiteKey& key : keys.keys) names.push_back(NameOf(key));
  return fmt::format("{}, but {} has {}: add that key to it, on a line of its own", wanted,
                     keys.path, fmt::join(names, ", "));
}

}  // namespace

std::string NameOf(const SiteKey& key) {
  const Digest name = MacOf(key, kNamePurpose, {});
  return ToHex(std::span(name).first(kNameBytes));
}

Result<std::vector<std::byte>> SealPart(const Part& part, std::span<const std::byte> file,
                                        const SiteKey& key) {
  const Nonce nonce = RandomNonce();
  std::vector<std::byte> sealed(file.size() + kSealBytes);
  Seal(SealingKey(key, part.job), nonce, About(part.job, part.checkpoint, part.info.pod), file,
       sealed);
  const Hdf5Session session;
  HOLDFAST_TRY(Hdf5File image, Hdf5File::Create(0));
  HOLDFAST_CHECK(image.AddText("/", "format", kSealedPartFormat));
  HOLDFAST_CHECK(image.AddText("/", "holdfast", HOLDFAST_VERSION));
  HOLDFAST_CHECK(image.AddText("/", "key", NameOf(key)));
  const bool named = !part.job.submitted.empty();
  if (named) {
    HOLDFAST_CHECK(image.AddText("/", "cluster", part.job.cluster));
    HOLDFAST_CHECK(image.AddText("/", "submitted", part.job.submitted));
  }
  for (const auto& [name, value] : std::initializer_list<std::pair<const char*, int64_t>>{
           {"version", named ? kSealedPartVersion : kNamelessSealedPartVersion},
           {"job_id", part.job.id},
           {"checkpoint", part.checkpoint},
           {"pod", part.info.pod}})
    HOLDFAST_CHECK(image.AddNumber("/", name, value));
  HOLDFAST_CHECK(image.AddTable("/packs", part.packs));
  HOLDFAST_CHECK(image.AddBytes("/nonce", nonce));
  HOLDFAST_CHECK(image.AddBytes("/sealed", sealed));
  return image.Image();
}

Result<std::optional<SealedPart>> ReadSealedPart(std::span<const std::byte> file) {
  const Hdf5Session session;
  HOLDFAST_TRY(Hdf5File image, Hdf5File::Open(file));
  HOLDFAST_TRY(const std::string format, image.Text("/", "format"));
  if (format != kSealedPartFormat) return std::nullopt;
  HOLDFAST_TRY(const int64_t version, image.Number("/", "version"));
  if (version < kNamelessSealedPartVersion || version > kSealedPartVersion)
    return Fail(
        Code::kUnsupported,
        fmt::format("sealed part of version {}; this is Holdfast {}, which reads versions {} to {}",
                    version, HOLDFAST_VERSION, kNamelessSealedPartVersion, kSealedPartVersion));
  SealedPart part;
  if (version >= kSealedPartVersion) {
    HOLDFAST_TRY(part.job.cluster, image.Text("/", "cluster"));
    HOLDFAST_TRY(part.job.submitted, image.Text("/", "submitted"));
  }
  for (const auto& [name, value] : std::initializer_list<std::pair<const char*, uint32_t*>>{
           {"job_id", &part.job.id}, {"checkpoint", &part.checkpoint}, {"pod", &part.pod}}) {
    HOLDFAST_TRY(const int64_t number, image.Number("/", name));
    *value = static_cast<uint32_t>(number);
  }
  HOLDFAST_TRY(part.key_name, image.Text("/", "key"));
  HOLDFAST_TRY(part.packs, image.Table<PackRow>("/packs"));
  HOLDFAST_TRY(part.nonce, image.Bytes("/nonce"));
  HOLDFAST_TRY(part.sealed, image.Bytes("/sealed"));
  if (part.nonce.size() != sizeof(Nonce) || part.sealed.size() < kSealBytes)
    return Fail(Code::kCorrupt, "sealed part breaks its format");
  return part;
}

Result<std::vector<std::byte>> UnsealPart(const SealedPart& part, const EncryptionKeys& keys) {
  const auto key = std::ranges::find(keys.keys, part.key_name, NameOf);
  if (key == keys.keys.end()) return Fail(Code::kDenied, KeyProblem(part, keys));
  Nonce nonce;
  std::ranges::copy(part.nonce, nonce.begin());
  std::vector<std::byte> file(part.sealed.size() - kSealBytes);
  if (!Unseal(SealingKey(*key, part.job), nonce, About(part.job, part.checkpoint, part.pod),
              part.sealed, file))
    return Fail(Code::kCorrupt,
                fmt::format("not what was sealed with key {} as the part of pod {} "
                            "of checkpoint {} of {}",
                            part.key_name, part.pod, part.checkpoint, part.job.Text()));
  return file;
}

}  // namespace holdfast::storage
