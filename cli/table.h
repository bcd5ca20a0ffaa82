// Aligned columns for people. One thread.
#pragma once

#include <string>
#include <vector>

namespace holdfast::cli {

class Table {
 public:
  // A title that begins with '>' (not shown) has its column aligned to the right.
  explicit Table(std::vector<std::string> titles);
  // As many cells as there are titles.
  void Add(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }
  // The titles, then the rows in the order added, each line ending with a newline.
  std::string ToString() const;

 private:
  std::vector<std::string> titles_;
  std::vector<bool> right_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace holdfast::cli
