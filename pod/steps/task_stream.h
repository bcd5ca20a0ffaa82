// The pipes of a task: what it writes, by lines or as it comes, and what it reads.
#pragma once

#include <string>
#include <string_view>

#include "base/unique_fd.h"

namespace holdfast::pod {

class TaskOutput {
 public:
  TaskOutput() = default;
  TaskOutput(UniqueFd pipe, bool by_line);

  int fd() const { return pipe_.get(); }
  // What there is now, without waiting: whole lines, and at the end the rest.
  std::string Read();

 private:
  UniqueFd pipe_;
  bool by_line_ = true;
  std::string partial_;
};

class TaskInput {
 public:
  TaskInput() = default;
  explicit TaskInput(UniqueFd pipe);

  int fd() const { return pipe_.get(); }
  bool waits() const { return pipe_.valid() && !pending_.empty(); }
  // Nothing: the end of input.
  void Add(std::string_view data);
  // As much as the task takes now. What a task does not read that has closed its input is dropped.
  void Write();

 private:
  UniqueFd pipe_;
  std::string pending_;
  bool ends_ = false;
};

}  // namespace holdfast::pod
