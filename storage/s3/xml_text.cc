#include "storage/s3/xml_text.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace holdfast::storage::s3 {
namespace {

constexpr std::array<std::pair<std::string_view, char>, 5> kEntities{
    {{"lt", '<'}, {"gt", '>'}, {"amp", '&'}, {"quot", '"'}, {"apos", '\''}}};

// The contents of the first element of that name, taken off `xml` with all before it. False if
// there is none.
bool TakeElement(std::string_view& xml, std::string_view name, std::string_view& contents) {
  for (size_t at = xml.find('<'); at != xml.npos; at = xml.find('<', at + 1)) {
    const std::string_view tag = xml.substr(at + 1);
    if (!tag.starts_with(name) || tag.size() == name.size()) continue;
    if (!std::string_view("> \t\r\n/").contains(tag[name.size()])) continue;
    const size_t end = tag.find('>');
    if (end == tag.npos) return false;
    if (tag[end - 1] == '/') {  // <name/>
      contents = {};
      xml = tag.substr(end + 1);
      return true;
    }
    const std::string closing = "</" + std::string(name) + ">";
    const size_t close = tag.find(closing, end);
    if (close == tag.npos) return false;
    contents = tag.substr(end + 1, close - end - 1);
    xml = tag.substr(close + closing.size());
    return true;
  }
  return false;
}

}  // namespace

std::string_view ElementOf(std::string_view xml, std::string_view name) {
  std::string_view contents;
  return TakeElement(xml, name, contents) ? contents : std::string_view();
}

std::vector<std::string_view> ElementsOf(std::string_view xml, std::string_view name) {
  std::vector<std::string_view> all;
  for (std::string_view contents; TakeElement(xml, name, contents);) all.push_back(contents);
  return all;
}

std::string TextOf(std::string_view xml, std::string_view name) {
  const std::string_view raw = ElementOf(xml, name);
  std::string text;
  for (size_t i = 0; i < raw.size(); ++i) {
    const size_t end = raw[i] == '&' ? raw.find(';', i) : raw.npos;
    if (end == raw.npos) {
      text += raw[i];
      continue;
    }
    std::string_view entity = raw.substr(i + 1, end - i - 1);
    const auto known =
        std::ranges::find(kEntities, entity, &decltype(kEntities)::value_type::first);
    unsigned code = 0;
    if (known != kEntities.end()) {
      text += known->second;
    } else if (entity.starts_with('#')) {
      const bool hex = entity.starts_with("#x");
      entity.remove_prefix(hex ? 2 : 1);
      std::from_chars(entity.data(), entity.data() + entity.size(), code, hex ? 16 : 10);
      text += static_cast<char>(code);  // names and sizes are ASCII
    }
    i = end;
  }
  return text;
}

}  // namespace holdfast::storage::s3
