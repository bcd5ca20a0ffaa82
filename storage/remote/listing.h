// Lists of a bucket's objects, which come in pages. Buckets have no directories: which there would
// be is told by the names of objects. Thread-safe.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "storage/backend.h"
#include "storage/remote/service.h"

namespace holdfast::storage::remote {

// Adds what a page lists and returns the token of the next one, or "". What stands for all objects
// below a directory is its name with a '/' at the end.
using ReadPage =
    std::function<Result<std::string>(const std::string& body, std::vector<ObjectInfo>& objects)>;

// Asks at `url` until there is no further page, naming each by the parameter `token`; sorted.
Result<std::vector<ObjectInfo>> ListPages(Service& service, const std::string& url,
                                          const std::string& token, const std::string& what,
                                          const ReadPage& read_page);

// The first components of the objects' keys, each once.
std::vector<std::string> PlacesOf(const std::vector<ObjectInfo>& objects);

}  // namespace holdfast::storage::remote
