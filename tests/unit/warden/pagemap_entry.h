// An entry of a pagemap, as CRIU 4.2 writes it.
#pragma once

#include <cstdint>

#include "warden/criu/images.h"

namespace holdfast::warden {

inline image::pagemap_entry Entry(uint64_t address, uint64_t pages, uint32_t flags) {
  image::pagemap_entry entry;
  entry.set_vaddr(address);
  entry.set_compat_nr_pages(0);
  entry.set_nr_pages(pages);
  entry.set_flags(flags);
  return entry;
}

}  // namespace holdfast::warden
