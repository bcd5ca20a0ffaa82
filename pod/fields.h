// Numbers, texts and lists one after the other in a string of bytes: numbers as 8 bytes,
// little-endian as every node of a job is, texts and lists behind their length. What is written so
// is saved in running jobs and read by other programs of the same pod.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::pod {

static_assert(std::endian::native == std::endian::little);

class FieldWriter {
 public:
  explicit FieldWriter(std::string_view magic = {}) : out_(magic) {}

  void Add(uint64_t number) {
    char bytes[sizeof number];
    std::memcpy(bytes, &number, sizeof number);
    out_.append(bytes, sizeof bytes);
  }
  void Add(std::string_view text) {
    Add(uint64_t{text.size()});
    out_.append(text);
  }
  template <class T>
  void Add(const std::vector<T>& list) {
    Add(uint64_t{list.size()});
    for (const T& item : list) {
      if constexpr (std::is_integral_v<T>)
        Add(uint64_t{item});
      else
        Add(std::string_view(item));
    }
  }
  std::string Take() { return std::move(out_); }

 private:
  std::string out_;
};

// After the first thing that does not fit, failed() stays true and everything reads as empty: a
// reader of many fields asks once, at the end.
class FieldReader {
 public:
  explicit FieldReader(std::string_view bytes, std::string_view magic = {}) : rest_(bytes) {
    failed_ = !rest_.starts_with(magic);
    if (!failed_) rest_.remove_prefix(magic.size());
  }
  bool failed() const { return failed_; }
  bool at_end() const { return rest_.empty(); }
  // All was there, and nothing else.
  bool complete() const { return !failed_ && at_end(); }

  uint64_t Number(uint64_t max = UINT64_MAX) {
    uint64_t number = 0;
    const std::string_view bytes = Take(sizeof number);
    if (!failed_) std::memcpy(&number, bytes.data(), sizeof number);
    if (number > max) failed_ = true;
    return failed_ ? 0 : number;
  }
  bool Flag() { return Number(1) != 0; }
  std::string Text() { return std::string(Take(Number())); }
  std::vector<std::string> Texts() {
    std::vector<std::string> list;
    for (uint64_t left = Number(); left > 0 && !failed_; --left) list.push_back(Text());
    return list;
  }
  std::vector<uint32_t> Numbers(uint64_t max = UINT32_MAX) {
    std::vector<uint32_t> list;
    for (uint64_t left = Number(); left > 0 && !failed_; --left)
      list.push_back(static_cast<uint32_t>(Number(max)));
    return list;
  }

 private:
  std::string_view Take(uint64_t size) {
    if (failed_ || size > rest_.size()) {
      failed_ = true;
      return {};
    }
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }

  std::string_view rest_;
  bool failed_ = false;
};

}  // namespace holdfast::pod
