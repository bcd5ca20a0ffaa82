#include "storage/urls/urls.h"

namespace holdfast::storage::posix {
namespace {

constexpr std::string_view kScheme = "file://";

}  // namespace

std::string_view DirectoryOf(std::string_view url) {
  return url.starts_with(kScheme) ? url.substr(kScheme.size()) : url;
}

extern const UrlForm kUrlForm;
constinit const UrlForm kUrlForm{
    .accepted = "/PATH, file:///PATH",
    .is_ours = [](std::string_view url) { return DirectoryOf(url).starts_with('/'); },
    .check = [](std::string_view) { return Status(); }};

}  // namespace holdfast::storage::posix
