// Buckets have no directories: which there would be is told by the names of objects.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "storage/backend.h"

namespace holdfast::storage::remote {

// The first components of the objects' keys, each once, sorted.
inline std::vector<std::string> PlacesOf(const std::vector<ObjectInfo>& objects) {
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
