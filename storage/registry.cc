#include "storage/registry.h"

#include <array>

#include "storage/urls/urls.h"

namespace holdfast::storage {

#define HOLDFAST_BACKEND(name)                                                  \
  namespace name {                                                              \
  Result<std::unique_ptr<Backend>> Open(const JobPlace&, const config::Cloud&); \
  }
#include "storage/backends.inc"
#undef HOLDFAST_BACKEND

Result<std::unique_ptr<Backend>> OpenBackend(const JobPlace& place, const config::Cloud& settings) {
  static constexpr std::array kOpen = {
#define HOLDFAST_BACKEND(name) &name::Open,
#include "storage/backends.inc"
#undef HOLDFAST_BACKEND
  };
  HOLDFAST_TRY(const size_t backend, BackendOfUrl(place.url));
  return kOpen[backend](place, settings);
}

}  // namespace holdfast::storage
