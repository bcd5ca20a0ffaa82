#include "storage/remote/listing.h"

#include <algorithm>

namespace holdfast::storage::remote {

Result<std::vector<ObjectInfo>> ListPages(Service& service, const std::string& url,
                                          const std::string& token, const std::string& what,
                                          const ReadPage& read_page) {
  std::vector<ObjectInfo> objects;
  std::string page;
  do {
    const std::string suffix = page.empty() ? "" : "&" + token + "=" + http::Escape(page);
    HOLDFAST_TRY(const http::Response response, service.Call({.url = url + suffix}, what));
    if (response.status != 200) return std::unexpected(service.ToError(response, what));
    HOLDFAST_TRY(page, read_page(response.body, objects).transform_error([&](Error error) {
      return std::move(error).Wrap(what);
    }));
  } while (!page.empty());
  std::ranges::sort(objects, {}, &ObjectInfo::key);
  return objects;
}

std::vector<std::string> PlacesOf(const std::vector<ObjectInfo>& objects) {
  std::vector<std::string> places;
  for (const ObjectInfo& object : objects)
    if (const size_t slash = object.key.find('/'); slash != std::string::npos)
      places.push_back(object.key.substr(0, slash));
  std::ranges::sort(places);
  const auto repeated = std::ranges::unique(places);
  places.erase(repeated.begin(), repeated.end());
  return places;
}

}  // namespace holdfast::storage::remote
