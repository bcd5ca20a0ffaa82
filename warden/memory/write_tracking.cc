#include "warden/memory/write_tracking.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/socket.h>

#include <algorithm>
#include <iterator>
#include <span>
#include <tuple>
#include <utility>

#include "base/descriptor_passing.h"
#include "base/files.h"
#include "warden/criu/tracking_socket.h"
#include "warden/memory/userfault.h"

namespace holdfast::warden {
namespace {

constexpr uint64_t kThere = PAGE_IS_PRESENT | PAGE_IS_SWAPPED;
// Of one process, 2 MiB of them. What lies beyond is read.
constexpr size_t kMostRanges = 128 << 10;
// Room for a message from each of many thousand processes.
constexpr int kSocketBytes = 64 << 20;

void Append(std::vector<AddressRange>& ranges, AddressRange range) {
  if (!ranges.empty() && ranges.back().end == range.begin) {
    ranges.back().end = range.end;
  } else if (ranges.size() < kMostRanges) {
    ranges.push_back(range);
  }
}

// Whether a page of the mapping is tracked. If it has none, that does not matter.
bool IsRegistered(const UniqueFd& pagemap, AddressRange where) {
  bool found = false;
  ScanPages(pagemap, where,
            {.all_of = PAGE_IS_WPALLOWED, .any_of = kThere, .told = PAGE_IS_PRESENT, .at_most = 1},
            [&](AddressRange, uint64_t) { found = true; });
  return found;
}

}  // namespace

Result<UniqueFd> WriteTracking::Begin() {
  // Processes that have ended, or run another program now.
  std::erase_if(processes_, [](const auto& entry) {
    return !OpenAt(entry.second.directory, "maps", O_RDONLY) || IsGone(entry.second.userfault);
  });
  split_.clear();
  HOLDFAST_TRY(auto ends, MakeSocketPair(SOCK_SEQPACKET));
  for (const UniqueFd* end : {&ends.first, &ends.second})
    ::setsockopt(end->get(), SOL_SOCKET, SO_SNDBUFFORCE, &kSocketBytes, sizeof kSocketBytes);
  std::vector<pid_t> known;
  for (const auto& [pid, process] : processes_) known.push_back(pid);
  if (::send(ends.first.get(), known.data(), known.size() * sizeof(pid_t), MSG_NOSIGNAL) < 0)
    return FailErrno("telling CRIU which processes are tracked");
  socket_ = std::move(ends.first);
  return std::move(ends.second);
}

void WriteTracking::Receive(const std::string& proc) {
  const UniqueFd socket = std::move(socket_);
  if (!socket.valid()) return;
  ::fcntl(socket.get(), F_SETFL, O_NONBLOCK);
  while (true) {
    pid_t pid = 0;
    auto received = ReceiveWithDescriptor(socket, std::as_writable_bytes(std::span(&pid, 1)));
    // It is empty, or CRIU has gone, which others notice.
    if (!received || received->size_bytes != sizeof pid) return;
    // Whoever cannot be tracked is read.
    std::ignore = Add(proc, pid, std::move(received->descriptor));
  }
}

Status WriteTracking::Add(const std::string& proc, pid_t pid, UniqueFd userfault) {
  HOLDFAST_CHECK(EnableWriteTracking(userfault));
  HOLDFAST_TRY(UniqueFd directory,
               OpenFile(proc + "/" + std::to_string(pid), O_RDONLY | O_DIRECTORY));
  processes_.insert_or_assign(
      pid, Process{.directory = std::move(directory), .userfault = std::move(userfault)});
  return {};
}

std::optional<WriteTracking::Unwritten> WriteTracking::Find(pid_t pid, uint32_t checkpoint) const {
  const auto found = processes_.find(pid);
  if (found == processes_.end() || checkpoint == 0 || found->second.checkpoint != checkpoint)
    return std::nullopt;
  const UniqueFd& directory = found->second.directory;
  // Opened now: of the program that runs now.
  const auto mappings = ReadMappings(directory);
  const auto pagemap = OpenAt(directory, "pagemap", O_RDONLY);
  if (!mappings || !pagemap) return std::nullopt;
  Unwritten unwritten{.ranges = {}, .saved = &found->second.saved};
  for (const auto& [where, anonymous] : mappings->own)
    if (anonymous)
      ScanPages(*pagemap, where,
                {.inverted = PAGE_IS_WRITTEN,
                 .all_of = PAGE_IS_WPALLOWED | PAGE_IS_WRITTEN,
                 .any_of = kThere,
                 .told = PAGE_IS_PRESENT},
                [&](AddressRange range, uint64_t) { Append(unwritten.ranges, range); });
  return unwritten;
}

void WriteTracking::Arm(pid_t pid, uint32_t checkpoint, std::vector<AddressRange> saved) {
  const auto found = processes_.find(pid);
  if (found == processes_.end()) return;
  Process& process = found->second;
  process.checkpoint = 0;
  process.saved.clear();
  if (saved.size() > kMostRanges || !ArmMappings(pid, process)) return;
  process.checkpoint = checkpoint;
  process.saved = std::move(saved);
}

Status WriteTracking::ArmMappings(pid_t pid, Process& process) {
  HOLDFAST_TRY(const auto mappings, ReadMappings(process.directory));
  HOLDFAST_TRY(const UniqueFd pagemap, OpenAt(process.directory, "pagemap", O_RDONLY));
  // The kernel may be about to fill pages that it has pinned, and would leave no trace.
  if (mappings.has_aio) return Fail(Code::kUnsupported, "it has asynchronous I/O");
  std::vector<uint64_t> huge, split;
  for (const auto& [where, anonymous] : mappings.own)
    if (anonymous) HOLDFAST_CHECK(ArmMapping(where, pagemap, process, huge, split));
  process.huge = std::move(huge);
  if (!split.empty()) split_[pid] = std::move(split);
  return {};
}

Status WriteTracking::ArmMapping(AddressRange where, const UniqueFd& pagemap, Process& process,
                                 std::vector<uint64_t>& huge, std::vector<uint64_t>& split) const {
  const bool was_registered = IsRegistered(pagemap, where);
  HOLDFAST_TRY(const bool registered, RegisterWrites(process.userfault, where));
  if (!registered) return {};
  // Before Linux 6.13, mremap(2) took protection along to mappings that were not registered, where
  // it protects nothing.
  if (!was_registered) HOLDFAST_CHECK(Unprotect(process.userfault, where));
  // A huge page that was protected as a whole is split by the first write to it. It stays without
  // protection until the next save, so that it can be made again.
  std::vector<uint64_t> written;
  const auto note = [&](std::vector<uint64_t>& pages) {
    return [&](AddressRange range, uint64_t) {
      const uint64_t size = huge_.size_bytes;
      for (uint64_t page = range.begin / size * size; page < range.end; page += size)
        if (pages.empty() || pages.back() != page) pages.push_back(page);
    };
  };
  ScanPages(pagemap, where, {.all_of = PAGE_IS_WRITTEN, .any_of = kThere, .told = PAGE_IS_PRESENT},
            note(written));
  const size_t first_split = split.size();
  std::ranges::set_intersection(written, process.huge, std::back_inserter(split));
  uint64_t begin = where.begin;
  const auto protect = [&](uint64_t end) {
    return begin >= end || ScanPages(pagemap, {.begin = begin, .end = end},
                                     {.all_of = PAGE_IS_WRITTEN,
                                      .any_of = kThere,
                                      .told = PAGE_IS_PRESENT,
                                      .protect = true},
                                     [](AddressRange, uint64_t) {});
  };
  for (const uint64_t page : std::span(split).subspan(first_split)) {
    const AddressRange whole{.begin = std::max(page, where.begin),
                             .end = std::min(page + huge_.size_bytes, where.end)};
    if (!protect(whole.begin)) return Fail(Code::kUnsupported, "PAGEMAP_SCAN");
    HOLDFAST_CHECK(Unprotect(process.userfault, whole));
    begin = whole.end;
  }
  if (!protect(where.end)) return Fail(Code::kUnsupported, "PAGEMAP_SCAN");
  ScanPages(
      pagemap, where,
      {.inverted = PAGE_IS_WRITTEN, .all_of = PAGE_IS_HUGE | PAGE_IS_WRITTEN, .told = PAGE_IS_HUGE},
      note(huge));
  return {};
}

}  // namespace holdfast::warden
