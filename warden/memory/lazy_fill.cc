// The other half of LazyMemory: the threads that read extents and fill pages with them.
#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "warden/criu/images.h"
#include "warden/memory/lazy_memory.h"
#include "warden/memory/userfault.h"

namespace holdfast::warden {
namespace {

// How long a thread lets the listening one read an event before it tries again.
constexpr std::chrono::microseconds kBusyPause{20};

uint64_t WindowOf(uint64_t address) { return address - address % storage::kExtentBytes; }

}  // namespace

void LazyMemory::Work() {
  std::vector<std::byte> buffer(storage::kExtentBytes);
  while (auto piece = Take()) {
    if (Status filled = FillPiece(*piece, buffer); !filled) Lose(std::move(filled).error());
    Finish(*std::move(piece));
  }
}

// Blocks until there is something to do; nothing at the end.
std::optional<LazyMemory::Piece> LazyMemory::Take() {
  std::unique_lock lock(mutex_);
  while (true) {
    if (stop_ || failure_ || done_) return std::nullopt;
    if (auto piece = TakeAsked()) return piece;
    if (prefetch_)
      if (auto piece = TakeNext()) return piece;
    work_.wait(lock);
  }
}

// What a process waits for, with its neighbours. While CRIU still makes mappings, neighbours may
// have none yet.
std::optional<LazyMemory::Piece> LazyMemory::TakeAsked() {
  while (!asked_.empty()) {
    const auto [space, address] = std::move(asked_.front());
    asked_.pop_front();
    if (space->gone || !space->missing.Has(address)) continue;
    // When that is done, those who still wait are made to ask again.
    if (in_work_.contains({space.get(), WindowOf(address)})) continue;
    return prefetch_ ? MakePiece(space, WindowOf(address), storage::kExtentBytes)
                     : MakePiece(space, address, PageBytes());
  }
  return std::nullopt;
}

// The processes in turns, each in the order of its addresses.
std::optional<LazyMemory::Piece> LazyMemory::TakeNext() {
  for (size_t tries = 0; tries < spaces_.size(); ++tries) {
    const SpacePtr& space = spaces_[next_space_++ % spaces_.size()];
    if (space->gone) continue;
    for (const uint64_t start : {space->cursor, uint64_t{0}}) {
      for (auto at = space->missing.FirstFrom(start); at; at = space->missing.FirstFrom(*at)) {
        const uint64_t window = WindowOf(*at);
        *at = space->cursor = window + storage::kExtentBytes;
        if (!in_work_.contains({space.get(), window}))
          return MakePiece(space, window, storage::kExtentBytes);
      }
    }
  }
  return std::nullopt;
}

LazyMemory::Piece LazyMemory::MakePiece(const SpacePtr& space, uint64_t address,
                                        uint64_t size_bytes) {
  ++space->in_work;
  in_work_.insert({space.get(), WindowOf(address)});
  return {.space = space, .address = address, .runs = space->missing.Within(address, size_bytes)};
}

Status LazyMemory::FillPiece(const Piece& piece, std::span<std::byte> buffer) {
  // Runs of a window mostly follow each other in the stream too: then they are one read.
  for (size_t begin = 0; begin < piece.runs.size();) {
    uint64_t size = piece.runs[begin].size_bytes;
    size_t end = begin + 1;
    for (; end < piece.runs.size() &&
           piece.runs[end].stream_offset == piece.runs[begin].stream_offset + size;
         ++end)
      size += piece.runs[end].size_bytes;
    const auto data = buffer.first(size);
    HOLDFAST_CHECK(reader_.Read(piece.space->stream, piece.runs[begin].stream_offset, data));
    for (uint64_t done = 0; begin < end; done += piece.runs[begin++].size_bytes)
      HOLDFAST_CHECK(FillRun(*piece.space, piece.runs[begin],
                             data.subspan(done, piece.runs[begin].size_bytes)));
  }
  return {};
}

Status LazyMemory::FillRun(Space& space, const MissingRun& run, std::span<const std::byte> data) {
  for (uint64_t done = 0; done < data.size();) {
    HOLDFAST_TRY(const auto reached, FillSome(space, run, data, done));
    if (reached)
      done = *reached;
    else
      std::this_thread::sleep_for(kBusyPause);
    const std::lock_guard lock(mutex_);
    if (stop_ || failure_ || space.gone) return {};
  }
  return {};
}

Result<std::optional<uint64_t>> LazyMemory::FillSome(Space& space, const MissingRun& run,
                                                     std::span<const std::byte> data,
                                                     uint64_t done) {
  std::unique_lock gate(space.gate);
  const std::shared_lock addresses(space.addresses);
  gate.unlock();
  // Meanwhile the process may have unmapped or moved it.
  MissingRun part;
  bool all_mapped = false;
  {
    const std::lock_guard lock(mutex_);
    const auto parts = space.missing.Within(run.address + done, run.size_bytes - done);
    if (parts.empty()) return data.size();
    part = parts.front();
    all_mapped = prefetch_;
  }
  done = part.address - run.address;
  // Something else of the same process has come to lie there: not this piece's to fill.
  if (part.stream_offset != run.stream_offset + done) return done + part.size_bytes;
  HOLDFAST_TRY(Filled filled,
               FillPages(space.fd, part.address, data.subspan(done, part.size_bytes)));
  if (filled.how == Fill::kNoMapping && part.size_bytes > PageBytes()) {
    // Page by page: it may reach over the border of two mappings.
    HOLDFAST_TRY(filled, FillPages(space.fd, part.address, data.subspan(done, PageBytes())));
  }
  // Somebody else has filled the page, without waking those who wait for it here.
  if (filled.how == Fill::kPresent) WakePages(space.fd, part.address, PageBytes());
  const std::lock_guard lock(mutex_);
  switch (filled.how) {
    case Fill::kBusy:
      return std::nullopt;
    case Fill::kGone:
      space.gone = true;
      return data.size();
    case Fill::kNoMapping:
      // Nobody can touch it; a fork did not take it along, say. Only while CRIU is at work it may
      // still get its mapping.
      if (!all_mapped) return data.size();
      filled.size_bytes = PageBytes();
      break;
    case Fill::kPresent:
      filled.size_bytes = PageBytes();
      break;
    case Fill::kDone:
      break;
  }
  space.missing.Drop(part.address, filled.size_bytes);
  return done + filled.size_bytes;
}

void LazyMemory::Finish(Piece piece) {
  const uint64_t window = WindowOf(piece.address);
  bool left = false;
  {
    const std::lock_guard lock(mutex_);
    in_work_.erase({piece.space.get(), window});
    left = !failure_ && !piece.space->missing.Within(window, storage::kExtentBytes).empty();
  }
  // Who asked for a page of this window while it was in work, and did not get it, asks again.
  if (left) WakePages(piece.space->fd, window, storage::kExtentBytes);
  bool over = false;
  {
    const std::lock_guard lock(mutex_);
    over = piece.space->gone || piece.space->missing.empty();
    --piece.space->in_work;
    // Complete closes it, and no other.
    piece.space.reset();
  }
  work_.notify_all();
  if (over) Wake();
}

}  // namespace holdfast::warden
