// Programs and libraries of a job: files of its user's, in which the warden looks for build-ids.
#include <elf.h>

#include <cstring>

#include "base/files.h"
#include "tests/fuzz/fuzz.h"
#include "warden/checkpoint/preflight.h"

namespace holdfast::fuzz {

void Feed(std::string_view bytes) {
  const auto file = FileInMemory(bytes);
  if (!file) return;
  (void)warden::ReadBuildId(*file);
}

std::vector<std::string> Seeds() {
  Elf64_Ehdr header = {};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_phoff = sizeof header;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 1;
  Elf64_Phdr segment = {};
  segment.p_type = PT_NOTE;
  segment.p_offset = sizeof header + sizeof segment;
  const Elf64_Nhdr note{.n_namesz = 4, .n_descsz = 20, .n_type = NT_GNU_BUILD_ID};
  segment.p_filesz = sizeof note + note.n_namesz + note.n_descsz;
  std::string program;
  const auto add = [&](const auto& part) {
    program.append(reinterpret_cast<const char*>(&part), sizeof part);
  };
  add(header);
  add(segment);
  add(note);
  program += std::string("GNU\0", 4) + std::string(20, 'b');
  return {program};
}

}  // namespace holdfast::fuzz
