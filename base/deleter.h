// std::unique_ptr for what a C library frees by a function of its own:
// std::unique_ptr<FILE, Deleter<fclose>>.
#pragma once

namespace holdfast {

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};

}  // namespace holdfast
