// Reading the protocol's XML answers, which are flat: elements with text, and lists of them.
// Whatever they hold, nothing is thrown. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace holdfast::storage::s3 {

// What stands between <name> and </name>, of the first such element and of all; not decoded.
std::string_view ElementOf(std::string_view xml, std::string_view name);
std::vector<std::string_view> ElementsOf(std::string_view xml, std::string_view name);
// The same as text: "&amp;" is "&".
std::string TextOf(std::string_view xml, std::string_view name);

}  // namespace holdfast::storage::s3
