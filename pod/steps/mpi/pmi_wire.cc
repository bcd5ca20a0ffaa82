#include "pod/steps/mpi/pmi_wire.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

namespace holdfast::pod {
namespace {

constexpr size_t kLengthCharacters = 6;
constexpr std::string_view kLine = "cmd=";
// Several lines, the last of them kManyEnd: only a spawn is asked for so.
constexpr std::string_view kMany = "mcmd=";
constexpr std::string_view kManyEnd = "endcmd\n";

std::unexpected<Error> Malformed() {
  return Fail(Code::kCorrupt, "a task has sent something that is not PMI");
}

bool MayBegin(std::string_view bytes, std::string_view with) {
  return bytes.substr(0, with.size()) == with.substr(0, bytes.size());
}

// "cmd=a b=c d": names without a value have an empty one.
Result<PmiRequest> Parse(PmiVersion version, std::string_view text, std::string_view separators) {
  PmiRequest request{.version = version, .command = {}, .fields = {}};
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of(separators), text.size());
    const std::string_view field = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (field.empty()) continue;
    const size_t equals = std::min(field.find('='), field.size());
    std::string name(field.substr(0, equals));
    std::string value(field.substr(std::min(equals + 1, field.size())));
    if (request.command.empty() && (name == "cmd" || name == "mcmd"))
      request.command = name == "cmd" ? value : "mcmd";
    else
      request.fields.emplace_back(std::move(name), std::move(value));
  }
  if (request.command.empty()) return Malformed();
  return request;
}

// Where the request ends that begins `bytes`, or npos; only looked for where it may be.
size_t EndOf(std::string_view bytes, std::string_view end) {
  const size_t at = bytes.substr(0, kMaxPmiRequest).find(end);
  return at == std::string_view::npos ? at : at + end.size();
}

}  // namespace

std::optional<std::string_view> PmiRequest::Field(std::string_view name) const {
  const auto found = std::ranges::find(fields, name, &std::pair<std::string, std::string>::first);
  if (found == fields.end()) return std::nullopt;
  return found->second;
}

Result<std::optional<PmiRequest>> TakePmiRequest(std::string& bytes) {
  if (bytes.empty()) return std::nullopt;
  const bool many = MayBegin(bytes, kMany);
  if (many || MayBegin(bytes, kLine)) {
    const size_t size = EndOf(bytes, many ? kManyEnd : "\n");
    if (size == std::string::npos) {
      if (bytes.size() >= kMaxPmiRequest) return Malformed();
      return std::nullopt;
    }
    const std::string text = bytes.substr(0, size);
    bytes.erase(0, size);
    return Parse(PmiVersion::k1, text, many ? "\n" : " \n");
  }
  if (bytes.size() < kLengthCharacters) return std::nullopt;
  const std::string_view length(bytes.data(), kLengthCharacters);
  const size_t digits = std::min(length.find_first_not_of(' '), length.size());
  size_t size = 0;
  const auto [end, error] =
      std::from_chars(length.data() + digits, length.data() + length.size(), size);
  if (error != std::errc() || end != length.data() + length.size() || size == 0 ||
      size > kMaxPmiRequest)
    return Malformed();
  if (bytes.size() < kLengthCharacters + size) return std::nullopt;
  const std::string text = bytes.substr(kLengthCharacters, size);
  bytes.erase(0, kLengthCharacters + size);
  return Parse(PmiVersion::k2, text, ";");
}

std::string PmiReply(PmiVersion version, std::string_view command,
                     const std::vector<std::string>& fields) {
  const char separator = version == PmiVersion::k1 ? ' ' : ';';
  std::string text = "cmd=" + std::string(command);
  for (const std::string& field : fields) text += separator + field;
  if (version == PmiVersion::k1) return text + "\n";
  text += separator;
  char length[kLengthCharacters + 1];
  std::snprintf(length, sizeof length, "%6zu", std::min<size_t>(text.size(), 999'999));
  return length + text;
}

}  // namespace holdfast::pod
