#include "warden/memory/live_memory.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <optional>
#include <span>
#include <sstream>
#include <vector>

#include "base/files.h"

namespace holdfast::warden {
namespace {

// Entries of /proc/PID/pagemap: Documentation/admin-guide/mm/pagemap.rst of Linux.
constexpr uint64_t kPresent = 1ULL << 63;
constexpr uint64_t kSwapped = 1ULL << 62;
constexpr uint64_t kOfFile = 1ULL << 61;  // or of memory that is shared
constexpr uint64_t kFrame = (1ULL << 55) - 1;
constexpr size_t kEntriesAtOnce = 16 * 1024;

// The kernel's page of zeros, which is mapped where memory was read and never written. 0 if it
// cannot be known, for want of CAP_SYS_ADMIN.
uint64_t FindZeroFrame() {
  void* page = ::mmap(nullptr, PageBytes(), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return 0;
  [[maybe_unused]] const char touched = *static_cast<volatile char*>(page);
  uint64_t entry = 0;
  const auto pagemap = OpenFile("/proc/self/pagemap", O_RDONLY);
  const auto position = reinterpret_cast<uintptr_t>(page) / PageBytes() * sizeof entry;
  const bool read =
      pagemap && ReadFullAt(*pagemap, std::as_writable_bytes(std::span(&entry, 1)), position);
  ::munmap(page, PageBytes());
  return read && (entry & kPresent) != 0 ? entry & kFrame : 0;
}

struct Mapping {
  uint64_t begin = 0;
  uint64_t end = 0;
};

// A line of /proc/PID/maps: "7f00-7f10 rw-p 00000000 00:00 0   [heap]". Nothing if it is shared, or
// the kernel's own.
std::optional<Mapping> ParseMapping(const std::string& line) {
  std::istringstream words(line);
  std::string range, rights, offset, device, inode, name;
  words >> range >> rights >> offset >> device >> inode >> name;
  const size_t dash = range.find('-');
  if (dash == std::string::npos || rights.size() != 4 || rights[3] != 'p') return std::nullopt;
  if (name.starts_with("[v")) return std::nullopt;  // [vdso], [vvar], [vsyscall]
  Mapping mapping;
  const char* end = range.data() + range.size();
  std::from_chars(range.data(), range.data() + dash, mapping.begin, 16);
  std::from_chars(range.data() + dash + 1, end, mapping.end, 16);
  return mapping;
}

bool IsOwn(uint64_t entry) {
  static const uint64_t zero_frame = FindZeroFrame();
  if ((entry & (kPresent | kSwapped)) == 0 || (entry & kOfFile) != 0) return false;
  return (entry & kSwapped) != 0 || zero_frame == 0 || (entry & kFrame) != zero_frame;
}

void AddPages(Pagemap& pagemap, uint64_t address, uint64_t count) {
  auto& entries = pagemap.entries;
  if (!entries.empty() && entries.back().vaddr() + EntryBytes(entries.back()) == address) {
    entries.back().set_nr_pages(entries.back().nr_pages() + count);
    return;
  }
  image::pagemap_entry& entry = entries.emplace_back();
  entry.set_vaddr(address);
  entry.set_nr_pages(count);
  entry.set_flags(kPageLazy);
}

// As IsOwn, for all of a mapping, by the kernel (Linux 6.7): it passes over what is only reserved,
// be it terabytes. False: it does not do that.
bool AddOwnPages(const UniqueFd& pages, const Mapping& mapping, Pagemap& pagemap) {
  std::array<page_region, 256> regions;
  pm_scan_arg request = {.size = sizeof request,
                         .start = mapping.begin,
                         .end = mapping.end,
                         .vec = reinterpret_cast<uint64_t>(regions.data()),
                         .vec_len = regions.size(),
                         .category_inverted = PAGE_IS_FILE | PAGE_IS_PFNZERO,
                         .category_mask = PAGE_IS_FILE | PAGE_IS_PFNZERO,
                         .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
                         .return_mask = PAGE_IS_PRESENT};
  while (request.start < mapping.end) {
    const int found = ::ioctl(pages.get(), PAGEMAP_SCAN, &request);
    // Once it has begun it fails only for a process that has ended.
    if (found < 0) return request.start != mapping.begin;
    for (const page_region& region : std::span(regions).first(static_cast<size_t>(found)))
      AddPages(pagemap, region.start, (region.end - region.start) / PageBytes());
    if (request.walk_end <= request.start) break;
    request.start = request.walk_end;
  }
  return true;
}

}  // namespace

Result<LiveMemory> LiveMemory::Open(const std::string& proc, pid_t pid) {
  HOLDFAST_TRY(UniqueFd process,
               OpenFile(proc + "/" + std::to_string(pid), O_RDONLY | O_DIRECTORY));
  HOLDFAST_TRY(UniqueFd memory, OpenAt(process, "mem", O_RDONLY));
  return LiveMemory(pid, std::move(process), std::move(memory));
}

Result<Pagemap> LiveMemory::Scan() const {
  HOLDFAST_TRY(const UniqueFd maps, OpenAt(process_, "maps", O_RDONLY));
  HOLDFAST_TRY(const std::string text, ReadAll(maps));
  HOLDFAST_TRY(const UniqueFd pages, OpenAt(process_, "pagemap", O_RDONLY));
  Pagemap pagemap;
  std::vector<uint64_t> entries(kEntriesAtOnce);
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto mapping = ParseMapping(line);
    if (!mapping || AddOwnPages(pages, *mapping, pagemap)) continue;
    for (uint64_t address = mapping->begin; address < mapping->end;) {
      const auto count = std::min<uint64_t>((mapping->end - address) / PageBytes(), kEntriesAtOnce);
      const auto some = std::span(entries).first(count);
      // A process that has ended has no entries.
      if (!ReadFullAt(pages, std::as_writable_bytes(some),
                      address / PageBytes() * sizeof(uint64_t)))
        return pagemap;
      for (const uint64_t entry : some) {
        if (IsOwn(entry)) AddPages(pagemap, address, 1);
        address += PageBytes();
      }
    }
  }
  return pagemap;
}

bool LiveMemory::Read(uint64_t address, std::span<std::byte> out) const {
  return ReadFullAt(memory_, out, address).has_value();
}

}  // namespace holdfast::warden
