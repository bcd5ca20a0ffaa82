#include "warden/memory/restore_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "base/files.h"
#include "base/parallel.h"
#include "warden/criu/images_rights.h"
#include "warden/files/scratch.h"

namespace holdfast::warden {
namespace {

uint64_t EndOf(const image::pagemap_entry& entry) { return entry.vaddr() + EntryBytes(entry); }

void MakeEager(image::pagemap_entry& entry) { entry.set_flags(entry.flags() & ~kPageLazy); }

// Entries of both that overlap; each list ascends.
void KeepShared(Pagemap& parent, Pagemap& child) {
  auto p = parent.entries.begin();
  for (image::pagemap_entry& entry : child.entries) {
    while (p != parent.entries.end() && EndOf(*p) <= entry.vaddr()) ++p;
    for (auto same = p; same != parent.entries.end() && same->vaddr() < EndOf(entry); ++same) {
      MakeEager(*same);
      MakeEager(entry);
    }
  }
}

void KeepWiped(const image::mm_entry& mappings, Pagemap& pagemap) {
  for (const image::vma_entry& mapping : mappings.vmas()) {
    if ((mapping.madv() & (1ULL << MADV_WIPEONFORK)) == 0) continue;
    for (image::pagemap_entry& entry : pagemap.entries)
      if (entry.vaddr() < mapping.end() && mapping.start() < EndOf(entry)) MakeEager(entry);
  }
}

std::string StreamName(const Pagemap& pagemap) {
  return "pages-" + std::to_string(pagemap.pages_id) + ".img";
}

Result<uint32_t> FindStream(const storage::PodReader& reader, const std::string& name) {
  const auto& streams = reader.streams();
  const auto found = std::ranges::find(streams, name, &storage::PodReader::Stream::name);
  if (found == streams.end()) return Fail(Code::kCorrupt, name + " is not in the checkpoint");
  return static_cast<uint32_t>(found - streams.begin());
}

// Pages that CRIU reads, at most an extent each.
struct EagerPiece {
  uint64_t offset = 0;
  uint64_t size_bytes = 0;
};

// In the file: the stream's pages follow each other in the order of the pagemap.
std::vector<EagerPiece> EagerPieces(const Pagemap& pagemap) {
  std::vector<EagerPiece> pieces;
  uint64_t offset = 0;
  for (const image::pagemap_entry& entry : pagemap.entries) {
    if ((entry.flags() & kPagePresent) == 0) continue;
    const uint64_t size = EntryBytes(entry);
    if ((entry.flags() & kPageLazy) == 0)
      for (uint64_t done = 0; done < size; done += storage::kExtentBytes)
        pieces.push_back({.offset = offset + done,
                          .size_bytes = std::min<uint64_t>(storage::kExtentBytes, size - done)});
    offset += size;
  }
  return pieces;
}

Result<uint64_t> CopyEager(const UniqueFd& file, storage::PodReader& reader, uint32_t stream,
                           const Pagemap& pagemap, unsigned threads) {
  if (::ftruncate(file.get(), static_cast<off_t>(reader.streams()[stream].size_bytes)) != 0)
    return FailErrno("sizing a file for " + StreamName(pagemap));
  const std::vector<EagerPiece> pieces = EagerPieces(pagemap);
  const auto copy = [&](size_t i) -> Status {
    thread_local std::vector<std::byte> buffer(storage::kExtentBytes);
    const auto data = std::span(buffer).first(pieces[i].size_bytes);
    HOLDFAST_CHECK(reader.Read(stream, pieces[i].offset, data));
    return WriteFullAt(file, data, pieces[i].offset);
  };
  HOLDFAST_CHECK(ForEachParallel(threads, pieces.size(), copy));
  uint64_t total = 0;
  for (const EagerPiece& piece : pieces) total += piece.size_bytes;
  return total;
}

Status CheckGhost(const std::string& name, const UniqueFd& file, const Identity& owner) {
  std::string head(4096, '\0');
  const ssize_t n = ::pread(file.get(), head.data(), head.size(), 0);
  if (n < 0) return FailErrno("reading " + name);
  head.resize(static_cast<size_t>(n));
  return CheckGhostRights(name, head, owner);
}

}  // namespace

Status NoteMemoryImage(const std::string& name, const std::string& contents, MemoryImages& images) {
  if (const pid_t pid = PidOfImage(name, "pagemap-"); pid != 0) {
    HOLDFAST_TRY(images.pagemaps[pid], ParsePagemap(name, contents));
  } else if (const pid_t owner = PidOfImage(name, "mm-"); owner != 0) {
    HOLDFAST_TRY(images.mappings[owner],
                 ParseOnly<image::mm_entry>(name, contents, ImageMagic::kMm));
  } else if (name == "pstree.img") {
    HOLDFAST_TRY(const auto processes,
                 ParseImage<image::pstree_entry>(name, contents, ImageMagic::kPstree));
    for (const image::pstree_entry& process : processes)
      images.parents[static_cast<pid_t>(process.pid())] = static_cast<pid_t>(process.ppid());
  }
  return {};
}

void KeepEager(MemoryImages& images) {
  for (auto& [pid, pagemap] : images.pagemaps) {
    if (const auto mappings = images.mappings.find(pid); mappings != images.mappings.end())
      KeepWiped(mappings->second, pagemap);
    const auto parent = images.parents.find(pid);
    if (parent == images.parents.end()) continue;
    if (const auto its = images.pagemaps.find(parent->second);
        its != images.pagemaps.end() && its->first != pid)
      KeepShared(its->second, pagemap);
  }
}

Result<std::map<pid_t, LazyProcess>> PlanLazy(const MemoryImages& images,
                                              const storage::PodReader& reader) {
  std::map<pid_t, LazyProcess> plan;
  for (const auto& [pid, pagemap] : images.pagemaps) {
    LazyProcess process;
    uint64_t offset = 0;
    for (const image::pagemap_entry& entry : pagemap.entries) {
      if ((entry.flags() & kPagePresent) == 0) continue;
      if ((entry.flags() & kPageLazy) != 0)
        process.missing.Add(
            {.address = entry.vaddr(), .size_bytes = EntryBytes(entry), .stream_offset = offset});
      offset += EntryBytes(entry);
    }
    if (process.missing.empty()) continue;
    HOLDFAST_TRY(process.stream, FindStream(reader, StreamName(pagemap)));
    if (reader.streams()[process.stream].size_bytes < offset)
      return Fail(Code::kCorrupt, StreamName(pagemap) + " has fewer pages than its pagemap");
    plan.emplace(pid, std::move(process));
  }
  return plan;
}

Result<uint64_t> LoadMemory(const UniqueFd& directory, storage::PodReader& reader,
                            const std::map<pid_t, LazyProcess>& lazy, const MemoryImages& images,
                            const Identity& owner, unsigned threads) {
  std::map<uint32_t, const Pagemap*> with_holes;  // by stream
  for (const auto& [pid, process] : lazy)
    with_holes.emplace(process.stream, &images.pagemaps.at(pid));
  uint64_t total = 0;
  const auto& streams = reader.streams();
  for (uint32_t i = 0; i < streams.size(); ++i) {
    const std::string& name = streams[i].name;
    if (name == kScratchStream) continue;
    if (!IsImageName(name) || IsInspected(name))
      return Fail(Code::kCorrupt, "a stream is called " + name);
    HOLDFAST_TRY(const UniqueFd file, CreateImage(directory, name, owner));
    if (const auto found = with_holes.find(i); found != with_holes.end()) {
      HOLDFAST_TRY(const uint64_t bytes, CopyEager(file, reader, i, *found->second, threads));
      total += bytes;
    } else {
      HOLDFAST_CHECK(reader.CopyTo(i, file, threads));
      total += streams[i].size_bytes;
    }
    if (name.starts_with("ghost-file-")) HOLDFAST_CHECK(CheckGhost(name, file, owner));
  }
  return total;
}

}  // namespace holdfast::warden
