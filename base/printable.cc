#include "base/printable.h"

#include <algorithm>

namespace holdfast {
namespace {

void AppendEscaped(std::string& out, unsigned char byte) {
  constexpr char kDigits[] = "0123456789abcdef";
  out += "\\x";
  out += kDigits[byte >> 4];
  out += kDigits[byte & 15];
}

// U+0080 to U+009F are c2 80 to c2 9f; terminals take c2 9b for ESC [.
bool IsC1(std::string_view text, size_t at) {
  if (static_cast<unsigned char>(text[at]) != 0xc2 || at + 1 == text.size()) return false;
  const auto next = static_cast<unsigned char>(text[at + 1]);
  return next >= 0x80 && next <= 0x9f;
}

// How many bytes the UTF-8 character at `at` has; 0: what is there is none (RFC 3629, section 4).
size_t CharacterBytes(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t size = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (size == 0 || at + size > text.size()) return 0;
  for (size_t i = 1; i < size; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  const bool too_long = (first == 0xe0 && byte(1) < 0xa0) || (first == 0xf0 && byte(1) < 0x90);
  const bool surrogate = first == 0xed && byte(1) >= 0xa0;
  const bool beyond = first == 0xf4 && byte(1) >= 0x90;
  return too_long || surrogate || beyond ? 0 : size;
}

}  // namespace

std::string Printable(std::string_view text, Newlines newlines) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const size_t size = CharacterBytes(text, i);
    if (byte == '\n') {
      out += newlines == Newlines::kKeep ? "\n" : "\\n";
    } else if (byte < ' ' || byte == 0x7f || size == 0) {
      AppendEscaped(out, byte);
    } else if (IsC1(text, i)) {
      AppendEscaped(out, byte);
      AppendEscaped(out, static_cast<unsigned char>(text[i + 1]));
    } else {
      out += text.substr(i, size);
    }
    i += std::max<size_t>(size, 1);
  }
  return out;
}

}  // namespace holdfast
