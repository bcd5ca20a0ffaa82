#include "warden/memory/live_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <span>
#include <vector>

#include "base/files.h"
#include "warden/memory/page_scan.h"

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

// As IsOwn, for all of a mapping, by the kernel. False: it cannot do that.
bool AddOwnPages(const UniqueFd& pages, AddressRange where, Pagemap& pagemap) {
  return ScanPages(pages, where,
                   {.inverted = PAGE_IS_FILE | PAGE_IS_PFNZERO,
                    .all_of = PAGE_IS_FILE | PAGE_IS_PFNZERO,
                    .any_of = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
                    .told = PAGE_IS_PRESENT},
                   [&](AddressRange range, uint64_t) {
                     AddPages(pagemap, range.begin, (range.end - range.begin) / PageBytes());
                   });
}

}  // namespace

Result<LiveMemory> LiveMemory::Open(const std::string& proc, pid_t pid) {
  HOLDFAST_TRY(UniqueFd process,
               OpenFile(proc + "/" + std::to_string(pid), O_RDONLY | O_DIRECTORY));
  HOLDFAST_TRY(UniqueFd memory, OpenAt(process, "mem", O_RDONLY));
  return LiveMemory(pid, std::move(process), std::move(memory));
}

Result<Pagemap> LiveMemory::Scan() const {
  HOLDFAST_TRY(const auto mappings, ReadMappings(process_));
  HOLDFAST_TRY(const UniqueFd pages, OpenAt(process_, "pagemap", O_RDONLY));
  Pagemap pagemap;
  std::vector<uint64_t> entries(kEntriesAtOnce);
  for (const auto& [where, anonymous] : mappings.own) {
    if (AddOwnPages(pages, where, pagemap)) continue;
    for (uint64_t address = where.begin; address < where.end;) {
      const auto count = std::min<uint64_t>((where.end - address) / PageBytes(), kEntriesAtOnce);
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
