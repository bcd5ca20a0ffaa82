#include "warden/memory/frozen_memory.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <memory>

#include "base/files.h"
#include "base/parallel.h"

namespace holdfast::warden {
namespace {

// One pagemap and where its pages come from.
struct Source {
  std::string pagemap_name;
  uint32_t stream = 0;
  pid_t pid = 0;       // in the pod; 0 for memory that processes share
  pid_t node_pid = 0;  // the same on the node
  UniqueFd pages;      // CRIU's pages file, if there is one
};

struct Work {
  const Source* source;
  MemoryPiece piece;
};

Status ReadSlowly(pid_t node_pid, uint64_t address, std::span<std::byte> out) {
  // Unlike process_vm_readv, /proc/PID/mem reads what is mapped without PROT_READ too.
  HOLDFAST_TRY(const UniqueFd memory,
               OpenFile("/proc/" + std::to_string(node_pid) + "/mem", O_RDONLY));
  return ReadFullAt(memory, out, address);
}

Status ReadPiece(const Source& source, const MemoryPiece& piece, std::span<std::byte> buffer) {
  size_t filled = 0;
  for (const MemoryRun& run : piece.runs) {
    const auto part = buffer.subspan(filled, run.size_bytes);
    filled += run.size_bytes;
    if (!run.lazy) {
      HOLDFAST_CHECK(ReadFullAt(source.pages, part, run.file_offset));
    } else {
      HOLDFAST_CHECK(ReadMemory(source.node_pid, run.address, part));
    }
  }
  return {};
}

bool HasLazyPages(const Pagemap& pagemap) {
  return std::ranges::any_of(pagemap.entries, [](const image::pagemap_entry& entry) {
    return (entry.flags() & kPagePresent) == 0 && (entry.flags() & kPageLazy) != 0;
  });
}

// Opens what the pagemap needs, stores the pagemap as restore wants it, and returns its pieces.
Result<std::vector<MemoryPiece>> PrepareSource(const Pod& pod, const UniqueFd& images,
                                               storage::PodWriter& writer, Source& source) {
  HOLDFAST_TRY(const UniqueFd file, OpenAt(images, source.pagemap_name, O_RDONLY));
  HOLDFAST_TRY(const std::string contents, ReadAll(file));
  HOLDFAST_TRY(Pagemap pagemap, ParsePagemap(source.pagemap_name, contents));
  std::vector<MemoryPiece> pieces = CutMemory(pagemap);

  source.pid = PidOfImage(source.pagemap_name, "pagemap-");
  if (HasLazyPages(pagemap)) {
    if (source.pid == 0)
      return Fail(Code::kUnsupported, source.pagemap_name + ": shared memory that was not saved");
    HOLDFAST_TRY(source.node_pid, pod.OuterPid(source.pid));
  }
  const std::string pages_name = "pages-" + std::to_string(pagemap.pages_id) + ".img";
  if (auto pages = OpenAt(images, pages_name, O_RDONLY)) {
    source.pages = std::move(*pages);
  } else if (pages.error().errno_value() != ENOENT) {
    return std::unexpected(pages.error());
  }
  HOLDFAST_TRY(source.stream, writer.AddStream(pages_name));
  const uint64_t size = pieces.empty() ? 0 : pieces.back().stream_offset + pieces.back().size_bytes;
  HOLDFAST_CHECK(writer.SetSize(source.stream, size));

  for (image::pagemap_entry& entry : pagemap.entries)
    if (entry.flags() & kPageLazy) entry.set_flags(entry.flags() | kPagePresent);
  HOLDFAST_CHECK(writer.AddImage(source.pagemap_name, SerializePagemap(pagemap)));
  return pieces;
}

}  // namespace

Status ReadMemory(pid_t node_pid, uint64_t address, std::span<std::byte> out) {
  size_t done = 0;
  while (done < out.size()) {
    const iovec local{.iov_base = out.data() + done, .iov_len = out.size() - done};
    const iovec remote{.iov_base = reinterpret_cast<void*>(address + done),
                       .iov_len = out.size() - done};
    const ssize_t n = ::process_vm_readv(node_pid, &local, 1, &remote, 1, 0);
    if (n < 0 && errno == EFAULT) {
      if (Status status = ReadSlowly(node_pid, address + done, out.subspan(done)); !status)
        return std::unexpected(std::move(status).error().Wrap("reading memory of process " +
                                                              std::to_string(node_pid)));
      return {};
    }
    if (n < 0) return FailErrno("reading memory of process " + std::to_string(node_pid));
    if (n == 0)
      return Fail(Code::kInternal,
                  "reading memory of process " + std::to_string(node_pid) + ": nothing is there");
    done += static_cast<size_t>(n);
  }
  return {};
}

std::vector<MemoryPiece> CutMemory(const Pagemap& pagemap) {
  std::vector<MemoryPiece> pieces;
  uint64_t stream_offset = 0, file_offset = 0;
  uint64_t open_window = std::numeric_limits<uint64_t>::max();
  for (const image::pagemap_entry& entry : pagemap.entries) {
    const bool present = (entry.flags() & kPagePresent) != 0;
    if (!present && (entry.flags() & kPageLazy) == 0) continue;  // a hole: reads as zero
    uint64_t address = entry.vaddr();
    const uint64_t end = address + EntryBytes(entry);
    while (address < end) {
      const uint64_t window = address / storage::kExtentBytes;
      const uint64_t size = std::min(end, (window + 1) * storage::kExtentBytes) - address;
      if (window != open_window) pieces.push_back({.stream_offset = stream_offset});
      open_window = window;
      pieces.back().runs.push_back({.address = address,
                                    .size_bytes = size,
                                    .lazy = !present,
                                    .file_offset = present ? file_offset : 0});
      pieces.back().size_bytes += size;
      stream_offset += size;
      if (present) file_offset += size;
      address += size;
    }
  }
  return pieces;
}

Result<uint64_t> SaveMemory(const Pod& pod, const UniqueFd& images, storage::PodWriter& writer,
                            unsigned threads) {
  HOLDFAST_TRY(const std::vector<std::string> names,
               ListDirectory("/proc/self/fd/" + std::to_string(images.get())));
  std::vector<std::unique_ptr<Source>> sources;
  std::vector<Work> work;
  uint64_t total = 0;
  for (const std::string& name : names) {
    if (!name.starts_with("pagemap-")) continue;
    const auto& source =
        sources.emplace_back(std::make_unique<Source>(Source{.pagemap_name = name}));
    HOLDFAST_TRY(auto pieces, PrepareSource(pod, images, writer, *source));
    for (MemoryPiece& piece : pieces) {
      total += piece.size_bytes;
      work.push_back({.source = source.get(), .piece = std::move(piece)});
    }
  }
  const auto save = [&](size_t i) -> Status {
    static thread_local std::vector<std::byte> buffer(storage::kExtentBytes);
    const auto& [source, piece] = work[i];
    const std::span data = std::span(buffer).first(piece.size_bytes);
    HOLDFAST_CHECK(ReadPiece(*source, piece, data));
    return writer.Put(source->stream, piece.stream_offset, data, piece.runs.front().address,
                      static_cast<uint32_t>(source->pid));
  };
  HOLDFAST_CHECK(ForEachParallel(threads, work.size(), save));
  return total;
}

}  // namespace holdfast::warden
