#include "storage/urls/urls.h"

#include <limits.h>

#include <algorithm>
#include <array>

#include "base/printable.h"

namespace holdfast::storage {

#define HOLDFAST_BACKEND(name)   \
  namespace name {               \
  extern const UrlForm kUrlForm; \
  }
#include "storage/backends.inc"
#undef HOLDFAST_BACKEND

namespace {

constexpr std::array kForms = {
#define HOLDFAST_BACKEND(name) &name::kUrlForm,
#include "storage/backends.inc"
#undef HOLDFAST_BACKEND
};

}  // namespace

Result<size_t> BackendOfUrl(std::string_view url) {
  const auto refuse = [&](const std::string& why) {
    return Fail(Code::kInvalid, "checkpoint directory '" + std::string(url) + "': " + why);
  };
  // Nothing that a line of a log could not show, or the REST API not tell.
  const bool printable = Printable(url, Newlines::kEscape) == url;
  const auto form =
      std::ranges::find_if(kForms, [&](const UrlForm* each) { return each->is_ours(url); });
  if (form == kForms.end() || !printable) return refuse("accepted are " + AcceptedUrls());
  if (url.size() >= PATH_MAX)
    return Fail(Code::kInvalid, "checkpoint directory: " + std::to_string(url.size()) +
                                    " bytes are too long; at most " + std::to_string(PATH_MAX - 1) +
                                    " are accepted");
  if (const Status checked = (*form)->check(url); !checked)
    return refuse(checked.error().message());
  return static_cast<size_t>(form - kForms.begin());
}

Status CheckUrl(std::string_view url) {
  HOLDFAST_CHECK(BackendOfUrl(url));
  return {};
}

Status FindCheckpoint(std::string_view url, std::string_view cluster, uint32_t job,
                      uint32_t checkpoint) {
  HOLDFAST_TRY(const size_t backend, BackendOfUrl(url));
  const auto find = kForms[backend]->find;
  return find == nullptr ? Status() : find(url, cluster, job, checkpoint);
}

bool BeginsLikeUrl(std::string_view url) {
  return std::ranges::any_of(kForms, [&](const UrlForm* form) { return form->is_ours(url); });
}

std::string AcceptedUrls() {
  std::string text;
  for (size_t i = 0; i < kForms.size(); ++i) {
    if (i > 0) text += i + 1 < kForms.size() ? ", " : " or ";
    text += kForms[i]->accepted;
  }
  return text;
}

}  // namespace holdfast::storage
