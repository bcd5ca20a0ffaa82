#include "warden/criu/images.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/files.h"
#include "base/numbers.h"

namespace holdfast::warden {
namespace {

constexpr uint32_t kCommonMagic = 0x54564319;
// Above any address of user space on the 64-bit machines CRIU supports.
constexpr uint64_t kAddressLimit = 1ULL << 57;

std::unexpected<Error> Corrupt(const std::string& name, const std::string& why) {
  return Fail(Code::kCorrupt, "image " + name + ": " + why);
}

// Takes four bytes off the front; CRIU writes them in the machine's order.
bool TakeWord(std::string_view& rest, uint32_t& word) {
  if (rest.size() < sizeof word) return false;
  std::memcpy(&word, rest.data(), sizeof word);
  rest.remove_prefix(sizeof word);
  return true;
}

void AppendWord(std::string& out, uint32_t word) {
  out.append(reinterpret_cast<const char*>(&word), sizeof word);
}

}  // namespace

uint64_t PageBytes() {
  static const auto size = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

bool IsImageName(const std::string& name) {
  return name.ends_with(".img") && name.find('/') == std::string::npos && name.front() != '.';
}

bool IsInspected(const std::string& name) {
  constexpr std::string_view kPrefixes[] = {"core-",     "fdinfo-", "files.img", "fs-",
                                            "ids-",      "mm-",     "pagemap-",  "remap-fpath.img",
                                            "pstree.img"};
  return std::ranges::any_of(kPrefixes,
                             [&](std::string_view prefix) { return name.starts_with(prefix); });
}

pid_t PidOfImage(std::string_view name, std::string_view prefix) {
  constexpr std::string_view kSuffix = ".img";
  if (!name.starts_with(prefix) || !name.ends_with(kSuffix)) return 0;
  name.remove_prefix(prefix.size());
  name.remove_suffix(kSuffix.size());
  return ParseNumber<pid_t>(name).value_or(0);
}

Result<UniqueFd> CreateImage(const UniqueFd& directory, const std::string& name,
                             const Identity& owner) {
  HOLDFAST_TRY(UniqueFd file, OpenAt(directory, name, O_RDWR | O_CREAT | O_EXCL));
  if (::fchown(file.get(), owner.uid, owner.gid) != 0)
    return FailErrno("giving " + name + " to the job's user");
  return file;
}

Result<std::vector<std::string_view>> SplitImage(const std::string& name, std::string_view contents,
                                                 ImageMagic magic, bool only_first) {
  std::string_view rest = contents;
  uint32_t common = 0, kind = 0;
  if (!TakeWord(rest, common) || !TakeWord(rest, kind) || common != kCommonMagic ||
      kind != static_cast<uint32_t>(magic))
    return Corrupt(name, "it is not of the kind that its name says");
  std::vector<std::string_view> records;
  while (!rest.empty()) {
    uint32_t size = 0;
    if (!TakeWord(rest, size) || size > rest.size()) return Corrupt(name, "it is cut short");
    records.push_back(rest.substr(0, size));
    rest.remove_prefix(size);
    if (only_first) break;
  }
  if (only_first && records.empty()) return Corrupt(name, "it is empty");
  return records;
}

uint64_t EntryBytes(const image::pagemap_entry& entry) {
  const uint64_t pages = entry.has_nr_pages() ? entry.nr_pages() : entry.compat_nr_pages();
  return pages * PageBytes();
}

Result<Pagemap> ParsePagemap(const std::string& name, std::string_view contents) {
  HOLDFAST_TRY(const auto records, SplitImage(name, contents, ImageMagic::kPagemap));
  if (records.empty()) return Corrupt(name, "it has no head");
  HOLDFAST_TRY(const auto head, ParseRecord<image::pagemap_head>(name, records[0]));
  Pagemap pagemap{.pages_id = head.pages_id()};
  pagemap.entries.reserve(records.size() - 1);
  uint64_t end = 0;
  for (size_t i = 1; i < records.size(); ++i) {
    HOLDFAST_TRY(auto entry, ParseRecord<image::pagemap_entry>(name, records[i]));
    const uint64_t pages = entry.has_nr_pages() ? entry.nr_pages() : entry.compat_nr_pages();
    if (entry.vaddr() % PageBytes() != 0 || entry.vaddr() < end || entry.vaddr() > kAddressLimit ||
        pages > kAddressLimit / PageBytes())
      return Corrupt(name, "its page ranges are not in order");
    if (entry.in_parent() || (entry.flags() & ~(kPageLazy | kPagePresent)) != 0)
      return Fail(Code::kUnsupported, "image " + name + ": it refers to a parent image");
    end = entry.vaddr() + EntryBytes(entry);
    pagemap.entries.push_back(std::move(entry));
  }
  return pagemap;
}

std::string SerializeImage(ImageMagic magic,
                           const std::vector<const google::protobuf::MessageLite*>& records) {
  std::string out;
  AppendWord(out, kCommonMagic);
  AppendWord(out, static_cast<uint32_t>(magic));
  for (const google::protobuf::MessageLite* record : records) {
    const std::string bytes = record->SerializeAsString();
    AppendWord(out, static_cast<uint32_t>(bytes.size()));
    out += bytes;
  }
  return out;
}

std::string SerializePagemap(const Pagemap& pagemap) {
  image::pagemap_head head;
  head.set_pages_id(pagemap.pages_id);
  std::vector<const google::protobuf::MessageLite*> records = {&head};
  for (const image::pagemap_entry& entry : pagemap.entries) records.push_back(&entry);
  return SerializeImage(ImageMagic::kPagemap, records);
}

}  // namespace holdfast::warden
