#include "warden/memory/frozen_memory.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "base/files.h"
#include "warden/memory/each_piece.h"
#include "warden/memory/unwritten.h"

namespace holdfast::warden {
namespace {

// One pagemap and where its pages come from.
struct Source {
  uint32_t stream = 0;
  pid_t pid = 0;                         // in the pod; 0 for memory that processes share
  std::optional<FrozenProcess> process;  // if pages still lie in it
  UniqueFd pages;                        // CRIU's pages file, if there is one
};

struct Work {
  std::shared_ptr<const Source> source;
  MemoryPiece piece;
};

Status ReadSlowly(pid_t node_pid, uint64_t address, std::span<std::byte> out) {
  // Unlike process_vm_readv, /proc/PID/mem reads what is mapped without PROT_READ too.
  HOLDFAST_TRY(const UniqueFd memory,
               OpenFile("/proc/" + std::to_string(node_pid) + "/mem", O_RDONLY));
  return ReadFullAt(memory, out, address);
}

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

Status ReadSome(const Source& source, const MemoryRun& run, uint64_t skip,
                std::span<std::byte> out) {
  if (!run.lazy) return ReadFullAt(source.pages, out, run.file_offset + skip);
  return source.process->Read(run.address + skip, out);
}

bool HasLazyPages(const Pagemap& pagemap) {
  return std::ranges::any_of(pagemap.entries, [](const image::pagemap_entry& entry) {
    return (entry.flags() & kPagePresent) == 0 && (entry.flags() & kPageLazy) != 0;
  });
}

// The pieces of all pagemaps in the directory. One pagemap is in memory at a time.
class FrozenPieces {
 public:
  FrozenPieces(const Pod& pod, const UniqueFd& images, storage::PodWriter& writer,
               std::vector<std::string> pagemaps, WriteTracking* tracking, uint32_t checkpoint)
      : pod_(pod),
        images_(images),
        writer_(writer),
        pagemaps_(std::move(pagemaps)),
        tracking_(tracking),
        checkpoint_(checkpoint) {}

  // Of what has been given.
  const SavedMemory& given() const { return given_; }
  Result<std::optional<Work>> Next() {
    while (true) {
      if (cutter_)
        if (auto piece = cutter_->Next()) return Work{source_, Compared(*std::move(piece))};
      cutter_.reset();
      unwritten_.reset();
      if (next_ == pagemaps_.size()) return std::nullopt;
      HOLDFAST_CHECK(Begin(pagemaps_[next_++]));
    }
  }

 private:
  // Opens what the pagemap needs, and stores it as restore wants it.
  Status Begin(const std::string& name) {
    const auto source = std::make_shared<Source>();
    HOLDFAST_TRY(Pagemap pagemap, Load(name));
    const pid_t pid = PidOfImage(name, "pagemap-");
    source->pid = pid;
    if (HasLazyPages(pagemap)) {
      if (pid == 0) return Fail(Code::kUnsupported, name + ": shared memory that was not saved");
      HOLDFAST_TRY(source->process, FrozenProcess::Open(pod_, pid));
    }
    const std::string pages_name = "pages-" + std::to_string(pagemap.pages_id) + ".img";
    if (auto pages = OpenAt(images_, pages_name, O_RDONLY)) {
      source->pages = std::move(*pages);
    } else if (pages.error().errno_value() != ENOENT) {
      return std::unexpected(pages.error());
    }
    HOLDFAST_TRY(source->stream, writer_.AddStream(pages_name));
    cutter_.emplace(pagemap);
    HOLDFAST_CHECK(writer_.SetSize(source->stream, cutter_->size_bytes()));
    if (tracking_ && source->process) Track(pid, pagemap);
    for (image::pagemap_entry& entry : pagemap.entries)
      if (entry.flags() & kPageLazy) entry.set_flags(entry.flags() | kPagePresent);
    source_ = source;
    return writer_.AddImage(name, SerializePagemap(pagemap));
  }

  // First what it has written until now, then what it will have.
  void Track(pid_t pid, const Pagemap& pagemap) {
    if (auto found = tracking_->Find(pid, writer_.compared_checkpoint()))
      unwritten_.emplace(std::move(found->ranges), *found->saved);
    tracking_->Arm(pid, checkpoint_, PagesOf(pagemap));
  }

  MemoryPiece Compared(MemoryPiece piece) {
    if (unwritten_) piece.unwritten = unwritten_->Of(piece);
    given_.size_bytes += piece.size_bytes;
    given_.unwritten_bytes += UnwrittenBytes(piece);
    return piece;
  }

  Result<Pagemap> Load(const std::string& name) {
    HOLDFAST_TRY(const UniqueFd file, OpenAt(images_, name, O_RDONLY));
    HOLDFAST_TRY(const std::string contents, ReadAll(file));
    return ParsePagemap(name, contents);
  }

  const Pod& pod_;
  const UniqueFd& images_;
  storage::PodWriter& writer_;
  const std::vector<std::string> pagemaps_;
  size_t next_ = 0;
  std::shared_ptr<const Source> source_;
  std::optional<MemoryCutter> cutter_;
  WriteTracking* const tracking_;
  const uint32_t checkpoint_;
  std::optional<UnwrittenBlocks> unwritten_;  // of the same process
  SavedMemory given_;
};

}  // namespace

Status PutPiece(storage::PodWriter& writer, uint32_t stream, pid_t pid, const MemoryPiece& piece,
                bool verify, const ReadRun& read) {
  static thread_local std::vector<std::byte> buffer(storage::kExtentBytes);
  const std::span data = std::span(buffer).first(piece.size_bytes);
  const auto read_range = [&](size_t begin, size_t end) -> Status {
    size_t run_begin = 0;
    for (const MemoryRun& run : piece.runs) {
      const size_t from = std::max(begin, run_begin);
      const size_t to = std::min(end, run_begin + run.size_bytes);
      if (from < to) HOLDFAST_CHECK(read(run, from - run_begin, data.subspan(from, to - from)));
      run_begin += run.size_bytes;
    }
    return {};
  };
  const uint64_t address = piece.runs.front().address;
  if (piece.unwritten.any())
    return writer.PutRest(stream, piece.stream_offset, data,
                          {.blocks = piece.unwritten, .verify = verify, .read = read_range},
                          address, static_cast<uint32_t>(pid));
  HOLDFAST_CHECK(read_range(0, piece.size_bytes));
  return writer.Put(stream, piece.stream_offset, data, address, static_cast<uint32_t>(pid));
}

Result<FrozenProcess> FrozenProcess::Open(const Pod& pod, pid_t pid) {
  HOLDFAST_TRY(const pid_t node_pid, pod.OuterPid(pid));
  HOLDFAST_TRY(FrozenProcess process, Open(node_pid));
  // It is the pod's if the pod still has it, under the same id.
  HOLDFAST_TRY(const pid_t now, pod.OuterPid(pid));
  if (now != node_pid) return process.Gone();
  return process;
}

Result<FrozenProcess> FrozenProcess::Open(pid_t node_pid) {
  UniqueFd handle(static_cast<int>(::syscall(SYS_pidfd_open, node_pid, 0)));
  if (!handle.valid()) return FailErrno("opening process " + std::to_string(node_pid));
  return FrozenProcess(node_pid, std::move(handle));
}

std::unexpected<Error> FrozenProcess::Gone() const {
  return Fail(Code::kUnavailable, "process " + std::to_string(node_pid_) +
                                      " was killed while its memory was being read");
}

Status FrozenProcess::Read(uint64_t address, std::span<std::byte> out) const {
  HOLDFAST_CHECK(ReadMemory(node_pid_, address, out));
  if (::syscall(SYS_pidfd_send_signal, handle_.get(), 0, nullptr, 0) != 0) return Gone();
  return {};
}

MemoryCutter::MemoryCutter(const Pagemap& pagemap) {
  for (const image::pagemap_entry& entry : pagemap.entries)
    // The others are holes, which read as zero and are in no file.
    if ((entry.flags() & (kPagePresent | kPageLazy)) != 0)
      entries_.push_back({.address = entry.vaddr(),
                          .size_bytes = EntryBytes(entry),
                          .present = (entry.flags() & kPagePresent) != 0});
}

uint64_t MemoryCutter::size_bytes() const {
  uint64_t total = 0;
  for (const Entry& entry : entries_) total += entry.size_bytes;
  return total;
}

std::optional<MemoryPiece> MemoryCutter::Next() {
  MemoryPiece piece{.stream_offset = stream_offset_};
  uint64_t piece_window = 0;
  while (entry_ < entries_.size()) {
    const Entry& entry = entries_[entry_];
    if (done_bytes_ == entry.size_bytes) {
      ++entry_;
      done_bytes_ = 0;
      continue;
    }
    const uint64_t address = entry.address + done_bytes_;
    const uint64_t window = address / storage::kExtentBytes;
    if (!piece.runs.empty() && window != piece_window) break;
    piece_window = window;
    const uint64_t size =
        std::min(entry.size_bytes - done_bytes_, (window + 1) * storage::kExtentBytes - address);
    piece.runs.push_back({.address = address,
                          .size_bytes = size,
                          .lazy = !entry.present,
                          .file_offset = entry.present ? file_offset_ : 0});
    piece.size_bytes += size;
    stream_offset_ += size;
    done_bytes_ += size;
    if (entry.present) file_offset_ += size;
  }
  if (piece.runs.empty()) return std::nullopt;
  return piece;
}

Result<SavedMemory> SaveMemory(const Pod& pod, const UniqueFd& images, storage::PodWriter& writer,
                               unsigned threads, WriteTracking* tracking, uint32_t checkpoint) {
  HOLDFAST_TRY(std::vector<std::string> names,
               ListDirectory("/proc/self/fd/" + std::to_string(images.get())));
  std::erase_if(names, [](const std::string& name) { return !name.starts_with("pagemap-"); });
  FrozenPieces pieces(pod, images, writer, std::move(names), tracking, checkpoint);
  const bool verify = tracking && tracking->verify();
  const auto save = [&](const Work& work) {
    const auto& [source, piece] = work;
    return PutPiece(writer, source->stream, source->pid, piece, verify,
                    [&](const MemoryRun& run, uint64_t skip, std::span<std::byte> out) {
                      return ReadSome(*source, run, skip, out);
                    });
  };
  HOLDFAST_CHECK(ForEachPiece(threads, [&] { return pieces.Next(); }, save));
  return pieces.given();
}

}  // namespace holdfast::warden
