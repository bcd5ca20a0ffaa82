// Which pages of an address space have not arrived yet, and where in the checkpoint they are.
//
// Addresses are what they are now: the owner keeps up with what the process does to its mappings.
// Used by lazy_memory.cc, under its lock.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace holdfast::warden {

// Pages that follow each other, in memory and in the stream that they are read from.
struct MissingRun {
  uint64_t address = 0;
  uint64_t size_bytes = 0;
  uint64_t stream_offset = 0;
  bool operator==(const MissingRun&) const = default;
};

class MissingPages {
 public:
  // Takes the place of what is known about these addresses.
  void Add(const MissingRun& run);
  bool empty() const { return runs_.empty(); }
  uint64_t size_bytes() const;
  bool Has(uint64_t address) const { return !Within(address, 1).empty(); }
  // The first address at or after `address`, if there is one.
  std::optional<uint64_t> FirstFrom(uint64_t address) const;
  // What of [address, address + size_bytes) is missing, ascending and clipped to it.
  std::vector<MissingRun> Within(uint64_t address, uint64_t size_bytes) const;
  // They are there, or will never be asked for.
  void Drop(uint64_t address, uint64_t size_bytes);
  // mremap(2).
  void Move(uint64_t from, uint64_t to, uint64_t size_bytes);

 private:
  struct Tail {
    uint64_t end = 0;  // address
    uint64_t stream_offset = 0;
  };
  void SplitAt(uint64_t address);
  std::map<uint64_t, Tail> runs_;  // by address; never overlapping
};

}  // namespace holdfast::warden
