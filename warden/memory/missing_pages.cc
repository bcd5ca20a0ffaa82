#include "warden/memory/missing_pages.h"

#include <algorithm>
#include <iterator>

namespace holdfast::warden {

void MissingPages::Add(const MissingRun& run) {
  if (run.size_bytes == 0) return;
  Drop(run.address, run.size_bytes);
  runs_[run.address] = {.end = run.address + run.size_bytes, .stream_offset = run.stream_offset};
}

uint64_t MissingPages::size_bytes() const {
  uint64_t total = 0;
  for (const auto& [address, tail] : runs_) total += tail.end - address;
  return total;
}

std::optional<uint64_t> MissingPages::FirstFrom(uint64_t address) const {
  const auto after = runs_.upper_bound(address);
  if (after != runs_.begin() && std::prev(after)->second.end > address) return address;
  if (after == runs_.end()) return std::nullopt;
  return after->first;
}

std::vector<MissingRun> MissingPages::Within(uint64_t address, uint64_t size_bytes) const {
  std::vector<MissingRun> found;
  const uint64_t end = address + size_bytes;
  auto run = runs_.upper_bound(address);
  if (run != runs_.begin()) --run;
  for (; run != runs_.end() && run->first < end; ++run) {
    const uint64_t from = std::max(run->first, address);
    const uint64_t to = std::min(run->second.end, end);
    if (from < to)
      found.push_back({.address = from,
                       .size_bytes = to - from,
                       .stream_offset = run->second.stream_offset + (from - run->first)});
  }
  return found;
}

// Makes a run begin at the address, if one reaches over it.
void MissingPages::SplitAt(uint64_t address) {
  auto run = runs_.lower_bound(address);
  if (run == runs_.begin()) return;
  --run;
  if (run->second.end <= address) return;
  runs_[address] = {.end = run->second.end,
                    .stream_offset = run->second.stream_offset + (address - run->first)};
  run->second.end = address;
}

void MissingPages::Drop(uint64_t address, uint64_t size_bytes) {
  SplitAt(address);
  SplitAt(address + size_bytes);
  runs_.erase(runs_.lower_bound(address), runs_.lower_bound(address + size_bytes));
}

void MissingPages::Move(uint64_t from, uint64_t to, uint64_t size_bytes) {
  const std::vector<MissingRun> moved = Within(from, size_bytes);
  Drop(from, size_bytes);
  Drop(to, size_bytes);
  for (MissingRun run : moved) {
    run.address = run.address - from + to;
    Add(run);
  }
}

}  // namespace holdfast::warden
