#include "warden/checkpoint/preflight.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <iterator>
#include <set>
#include <span>
#include <sstream>

#ifdef __x86_64__
#include <cpuid.h>
#endif

#include "base/files.h"
#include "warden/files/scratch.h"
#include "warden/isolation/pod_files.h"

namespace holdfast::warden {
namespace {

// Flags of /proc/cpuinfo that programs and libraries choose instructions by. The kernel lists many
// more, about itself and about mitigations, which may differ without harm.
constexpr std::string_view kInstructionFlags =
    "sse3 pni ssse3 sse4_1 sse4_2 sse4a popcnt abm movbe aes pclmulqdq rdrand rdseed adx bmi1 "
    "bmi2 f16c fma fma4 xop tbm avx avx2 avx_vnni avx512f avx512dq avx512cd avx512bw avx512vl "
    "avx512ifma avx512vbmi avx512_vbmi2 avx512_vnni avx512_bitalg avx512_vpopcntdq avx512_bf16 "
    "avx512_fp16 avx512_vp2intersect vaes vpclmulqdq gfni sha_ni amx_tile amx_int8 amx_bf16 "
    "xsave xsaveopt xsavec xgetbv1 rdtscp rdpid fsgsbase erms clflushopt clwb clzero movdiri "
    "movdir64b waitpkg serialize rtm ospke 3dnowprefetch cx16 lahf_lm";

std::set<std::string> Words(std::string_view text) {
  std::istringstream words{std::string(text)};
  return {std::istream_iterator<std::string>(words), {}};
}

std::set<std::string> InstructionFlags(const std::string& flags) {
  static const std::set<std::string> chosen = Words(kInstructionFlags);
  std::set<std::string> kept = Words(flags);
  std::erase_if(kept, [&](const std::string& flag) { return !chosen.contains(flag); });
  return kept;
}

std::string Get(const Attributes& attributes, const std::string& key) {
  const auto at = attributes.find(key);
  return at == attributes.end() ? "" : at->second;
}

// First value of a key in /proc/cpuinfo.
std::string CpuInfo(const std::string& cpuinfo, const std::string& key) {
  std::istringstream lines(cpuinfo);
  for (std::string line; std::getline(lines, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos || !line.starts_with(key)) continue;
    if (line.find_first_not_of(" \t", key.size()) != colon) continue;
    return colon + 2 <= line.size() ? line.substr(colon + 2) : "";
  }
  return "";
}

// Room that the CPU's state takes in a signal frame, which programs may have measured once.
uint32_t XsaveBytes() {
#ifdef __x86_64__
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(0xd, 0, &eax, &ebx, &ecx, &edx) != 0) return ebx;
#endif
  return 0;
}

std::string ToHex(std::span<const unsigned char> bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const unsigned char byte : bytes) {
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

std::string SavedBuildId(const image::reg_file_entry& reg) {
  return ToHex(std::span(reinterpret_cast<const unsigned char*>(reg.build_id().data()),
                         static_cast<size_t>(reg.build_id_size()) * sizeof(uint32_t)));
}

// CRIU pads build-ids with zeros to whole words.
bool SameBuildId(const std::string& saved, std::string here) {
  here.resize(std::max(saved.size(), here.size()), '0');
  return saved == here;
}

template <class T>
bool ReadAt(const UniqueFd& file, uint64_t offset, T& out) {
  return ReadFullAt(file, std::as_writable_bytes(std::span(&out, 1)), offset).has_value();
}

std::optional<std::string> BuildIdInNotes(const UniqueFd& file, uint64_t offset, uint64_t size) {
  constexpr uint64_t kMostNoteBytes = 1 << 16;
  const uint64_t end = offset + std::min(size, kMostNoteBytes);
  const auto padded = [](uint64_t n) { return (n + 3) & ~uint64_t{3}; };
  while (offset + sizeof(Elf64_Nhdr) <= end) {
    Elf64_Nhdr note;
    if (!ReadAt(file, offset, note)) return std::nullopt;
    const uint64_t description = offset + sizeof note + padded(note.n_namesz);
    char name[4] = {};
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof name && note.n_descsz <= 64 &&
        ReadAt(file, offset + sizeof note, name) && std::string_view(name, 3) == "GNU") {
      std::vector<unsigned char> id(note.n_descsz);
      if (!ReadFullAt(file, std::as_writable_bytes(std::span(id)), description))
        return std::nullopt;
      return ToHex(id);
    }
    offset = description + padded(note.n_descsz);
  }
  return std::nullopt;
}

std::unexpected<Error> OtherVersion(const std::string& path, const std::string& how) {
  return Fail(Code::kUnsupported, path + " on this node is not the one the job runs with (" + how +
                                      "): install the same version, or exclude this node");
}

Status CheckOpenFile(const UniqueFd& pod_root, const image::reg_file_entry& reg) {
  // What can be opened but not read (a program with mode 0711) is looked at without its build-id.
  auto file = OpenInPod(pod_root, reg.name(), O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file && file.error().code() == Code::kDenied) file = OpenInPod(pod_root, reg.name(), O_PATH);
  const bool is_program = reg.build_id_size() > 0;
  if (!file) {
    if (is_program) return OtherVersion(reg.name(), file.error().message());
    return Fail(Code::kChanged, "a file that the job has open: " + file.error().message());
  }
  const std::string saved = SavedBuildId(reg);
  if (const auto here = is_program ? ReadBuildId(*file) : std::nullopt;
      here && !SameBuildId(saved, *here))
    return OtherVersion(reg.name(), "build-id " + *here + ", expected " + saved);
  struct stat info = {};
  if (::fstat(file->get(), &info) != 0) return FailErrno("looking at " + reg.name());
  if (!reg.has_size() || reg.size() == static_cast<uint64_t>(info.st_size)) return {};
  const std::string sizes =
      std::to_string(info.st_size) + " bytes, expected " + std::to_string(reg.size());
  if (is_program) return OtherVersion(reg.name(), sizes);
  return Fail(Code::kChanged, reg.name() + ", which the job has open, has " + sizes);
}

// Regular files, directories and FIFOs that CRIU will open by their names.
std::vector<const image::reg_file_entry*> FilesWithNames(
    const std::vector<image::file_entry>& files,
    const std::vector<image::remap_file_path_entry>& deleted) {
  std::set<uint32_t> without_name;
  for (const auto& remap : deleted) without_name.insert(remap.orig_id());
  std::vector<const image::reg_file_entry*> named;
  for (const image::file_entry& file : files) {
    const image::reg_file_entry& reg = file.reg();
    const bool of_use = S_ISREG(reg.mode()) || S_ISDIR(reg.mode()) || S_ISFIFO(reg.mode());
    if (file.has_reg() && of_use && !without_name.contains(reg.id()) &&
        !reg.name().starts_with("/proc/") && !reg.name().starts_with("/sys/"))
      named.push_back(&reg);
  }
  return named;
}

// Which of these directories the path is in.
std::optional<std::string> DirectoryOf(const std::string& path,
                                       const std::vector<std::string>& directories) {
  for (const std::string& directory : directories)
    if ((path + "/").starts_with(directory + "/")) return directory;
  return std::nullopt;
}

// What open(2) with these flags asks for, as access(2) says it.
int AccessOf(uint32_t flags) {
  if ((flags & O_PATH) != 0) return F_OK;
  switch (flags & O_ACCMODE) {
    case O_RDONLY:
      return R_OK;
    case O_WRONLY:
      return W_OK;
    default:
      return R_OK | W_OK;
  }
}

}  // namespace

Attributes DescribeNode(const CriuVersion& criu) {
  utsname names = {};
  ::uname(&names);
  const std::string cpuinfo = ReadFile("/proc/cpuinfo").value_or("");
  return {{"arch", names.machine},
          {"kernel", names.release},
          {"cpu", CpuInfo(cpuinfo, "model name")},
          {"cpu_flags", CpuInfo(cpuinfo, "flags")},
          {"xsave_bytes", std::to_string(XsaveBytes())},
          {"criu", criu.ToString()}};
}

Status CompareNodes(const Attributes& saved, const Attributes& here) {
  if (Get(saved, "arch") != Get(here, "arch"))
    return Fail(Code::kUnfit, "this node is " + Get(here, "arch") + ", the job was saved on " +
                                  Get(saved, "arch"));
  const std::set<std::string> have = InstructionFlags(Get(here, "cpu_flags"));
  std::string missing;
  for (const std::string& flag : InstructionFlags(Get(saved, "cpu_flags")))
    if (!have.contains(flag)) missing += " " + flag;
  if (!missing.empty())
    return Fail(Code::kUnfit, "this node's CPU (" + Get(here, "cpu") +
                                  ") lacks instructions that the job may use, having started "
                                  "on " +
                                  Get(saved, "cpu") + ":" + missing);
  const std::string saved_xsave = Get(saved, "xsave_bytes"), xsave = Get(here, "xsave_bytes");
  if (saved_xsave != xsave)
    return Fail(Code::kUnfit, "this node's CPU state takes " + xsave +
                                  " bytes, on the node that saved the job " + saved_xsave +
                                  ": CRIU cannot move floating point state between them");
  return {};
}

Status CheckOpenFiles(const Pod& pod, const std::vector<image::file_entry>& files,
                      const std::vector<image::remap_file_path_entry>& deleted) {
  HOLDFAST_TRY(const UniqueFd pod_root, OpenPodRoot(pod));
  const ScopedIdentity as_owner(pod.options().owner);
  std::set<std::string> seen;
  for (const image::reg_file_entry* reg : FilesWithNames(files, deleted))
    if (S_ISREG(reg->mode()) && seen.insert(reg->name()).second)
      HOLDFAST_CHECK(CheckOpenFile(pod_root, *reg));
  return {};
}

Status CheckReopening(const Pod& pod, const std::vector<image::file_entry>& files,
                      const std::vector<image::remap_file_path_entry>& deleted,
                      const std::vector<std::string>& local_directories) {
  for (const image::reg_file_entry* reg : FilesWithNames(files, deleted)) {
    const auto directory = DirectoryOf(reg->name(), local_directories);
    if (directory && !IsScratch(pod.options(), reg->name()))
      return Fail(Code::kUnsupported,
                  "the job has " + reg->name() + " open, and " + *directory +
                      " is this node's own (node.local_directories): use one that moves with the "
                      "job, such as /tmp, or a directory that all nodes share");
  }
  HOLDFAST_TRY(const UniqueFd pod_root, OpenPodRoot(pod));
  const ScopedIdentity as_owner(pod.options().owner);
  for (const image::reg_file_entry* reg : FilesWithNames(files, deleted)) {
    const auto file = OpenInPod(pod_root, reg->name(), O_PATH);
    if (file && ::syscall(SYS_faccessat2, file->get(), "", AccessOf(reg->flags()),
                          AT_EMPTY_PATH | AT_EACCESS) == 0)
      continue;
    const std::string why = file ? Error::Errno("opening it").message() : file.error().message();
    return Fail(Code::kUnsupported,
                "the job has " + reg->name() +
                    " open, and its user could not open it so again on another node (" + why +
                    "): give the user that right, or save when it is closed");
  }
  return {};
}

std::optional<std::string> ReadBuildId(const UniqueFd& file) {
  Elf64_Ehdr header;
  if (!ReadAt(file, 0, header) || std::string_view(reinterpret_cast<char*>(header.e_ident),
                                                   SELFMAG) != std::string_view(ELFMAG, SELFMAG))
    return std::nullopt;
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_phentsize != sizeof(Elf64_Phdr))
    return std::nullopt;
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    if (!ReadAt(file, header.e_phoff + i * sizeof segment, segment)) return std::nullopt;
    if (segment.p_type != PT_NOTE) continue;
    if (auto id = BuildIdInNotes(file, segment.p_offset, segment.p_filesz)) return id;
  }
  return std::nullopt;
}

}  // namespace holdfast::warden
