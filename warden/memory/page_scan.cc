#include "warden/memory/page_scan.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <span>
#include <sstream>

#include "base/files.h"

namespace holdfast::warden {
namespace {

// A line of maps: "7f00-7f10 rw-p 00000000 00:00 0   [heap]".
void ParseMapping(const std::string& line, Mappings& mappings) {
  std::istringstream words(line);
  std::string range, rights, offset, device, inode, name;
  words >> range >> rights >> offset >> device >> inode >> name;
  const size_t dash = range.find('-');
  mappings.has_aio |= name == "/[aio]";
  if (dash == std::string::npos || rights.size() != 4 || rights[3] != 'p') return;
  if (name.starts_with("[v")) return;  // [vdso], [vvar], [vsyscall]
  Mapping mapping{.where = {}, .anonymous = inode == "0"};
  const char* end = range.data() + range.size();
  std::from_chars(range.data(), range.data() + dash, mapping.where.begin, 16);
  std::from_chars(range.data() + dash + 1, end, mapping.where.end, 16);
  mappings.own.push_back(mapping);
}

}  // namespace

Result<Mappings> ReadMappings(const UniqueFd& process) {
  HOLDFAST_TRY(const UniqueFd maps, OpenAt(process, "maps", O_RDONLY));
  HOLDFAST_TRY(const std::string text, ReadAll(maps));
  Mappings mappings;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) ParseMapping(line, mappings);
  return mappings;
}

bool ScanPages(const UniqueFd& pagemap, AddressRange where, const PageRequest& request,
               const std::function<void(AddressRange, uint64_t)>& take) {
  // Of more than 512, the kernel (6.18) tells some twice.
  std::array<page_region, 256> regions;
  pm_scan_arg scan = {.size = sizeof scan,
                      .flags = request.protect ? uint64_t{PM_SCAN_WP_MATCHING} : 0,
                      .start = where.begin,
                      .end = where.end,
                      .vec = reinterpret_cast<uint64_t>(regions.data()),
                      .vec_len = regions.size(),
                      .max_pages = request.at_most,
                      .category_inverted = request.inverted,
                      .category_mask = request.all_of,
                      .category_anyof_mask = request.any_of,
                      .return_mask = request.told};
  while (scan.start < where.end) {
    const int found = ::ioctl(pagemap.get(), PAGEMAP_SCAN, &scan);
    // Once it has begun it fails only for a process that has ended.
    if (found < 0) return scan.start != where.begin;
    for (const page_region& region : std::span(regions).first(static_cast<size_t>(found)))
      take({.begin = region.start, .end = region.end}, region.categories);
    if (scan.walk_end <= scan.start || request.at_most != 0) break;
    scan.start = scan.walk_end;
  }
  return true;
}

}  // namespace holdfast::warden
