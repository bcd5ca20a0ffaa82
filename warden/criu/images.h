// CRIU's images, as far as Holdfast looks into them: which pages a process has, who it runs as,
// which files it has open.
//
// An image is a magic of 4 bytes that all images share, one for its kind, and records, each a
// length of 4 bytes and a protobuf message (warden/criu/criu_images.proto). Contents may come from
// a store that the user can write: nothing here trusts them, and what does not parse is kCorrupt.
//
// Used by save.cc and restore.cc. Thread-safe as pure functions are.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/identity.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "warden_images/criu_images.pb.h"

namespace holdfast::warden {

// criu/include/magic.h of CRIU 4.2.
enum class ImageMagic : uint32_t {
  kPstree = 0x50273030,
  kPagemap = 0x56084025,
  kCore = 0x55053847,
  kFiles = 0x56303138,
  kGhostFile = 0x52583605,
  kRemapPath = 0x59133954,
  kMm = 0x57492820,
  kFdinfo = 0x56213732,
  kIds = 0x54432030,
  kFs = 0x51403912,
};

// The tree of processes.
inline constexpr const char* kPstreeImage = "pstree.img";

// remap_type of a remap_file_path_entry (images/remap-file-path.proto of CRIU 4.2).
inline constexpr uint32_t kRemapLinked = 0;
inline constexpr uint32_t kRemapGhost = 1;

// Whether it may be a file of CRIU's: names come from a store, and become paths.
bool IsImageName(const std::string& name);
// Whether Holdfast looks into it at a restore: it must come as an image, whatever its size.
bool IsInspected(const std::string& name);
// The pid in "pagemap-PID.img" or another such name; 0 if there is none ("pagemap-shmem-7.img").
pid_t PidOfImage(std::string_view name, std::string_view prefix);

// A new file of the owner's in a directory that CRIU, being the owner, will read it in.
Result<UniqueFd> CreateImage(const UniqueFd& directory, const std::string& name,
                             const Identity& owner);

// The records of an image. With `only_first`, what follows the first one is ignored: ghost files
// have raw data there.
Result<std::vector<std::string_view>> SplitImage(const std::string& name, std::string_view contents,
                                                 ImageMagic magic, bool only_first = false);

template <class Record>
Result<Record> ParseRecord(const std::string& name, std::string_view bytes) {
  Record record;
  // Plain ParseFromArray prints what is missing on stderr.
  if (!record.ParsePartialFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      !record.IsInitialized())
    return Fail(Code::kCorrupt, "image " + name + ": a record cannot be parsed");
  return record;
}

template <class Record>
Result<std::vector<Record>> ParseImage(const std::string& name, std::string_view contents,
                                       ImageMagic magic) {
  HOLDFAST_TRY(const auto parts, SplitImage(name, contents, magic));
  std::vector<Record> records;
  records.reserve(parts.size());
  for (const std::string_view part : parts) {
    HOLDFAST_TRY(records.emplace_back(), ParseRecord<Record>(name, part));
  }
  return records;
}

std::string SerializeImage(ImageMagic magic,
                           const std::vector<const google::protobuf::MessageLite*>& records);

// Of an image that has exactly one record.
template <class Record>
Result<Record> ParseOnly(const std::string& name, std::string_view contents, ImageMagic magic) {
  HOLDFAST_TRY(auto records, ParseImage<Record>(name, contents, magic));
  if (records.size() != 1) return Fail(Code::kCorrupt, "image " + name + ": not one record");
  return std::move(records[0]);
}

// Which pages are in pages-ID.img, in that order.
struct Pagemap {
  uint32_t pages_id = 0;
  std::vector<image::pagemap_entry> entries;
};

// criu/include/pagemap.h: pagemap_entry.flags.
inline constexpr uint32_t kPageLazy = 1 << 1;
inline constexpr uint32_t kPagePresent = 1 << 2;

// Entries ascend, do not overlap and lie on whole pages; kUnsupported if it refers to a parent
// image, which Holdfast never asks for.
Result<Pagemap> ParsePagemap(const std::string& name, std::string_view contents);
std::string SerializePagemap(const Pagemap& pagemap);
uint64_t PageBytes();
// Bytes of memory that the entry stands for.
uint64_t EntryBytes(const image::pagemap_entry& entry);

}  // namespace holdfast::warden
