#include "pod/steps/task_stream.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace holdfast::pod {
namespace {

constexpr size_t kChunkBytes = 64 * 1024;

}  // namespace

TaskOutput::TaskOutput(UniqueFd pipe, bool by_line) : pipe_(std::move(pipe)), by_line_(by_line) {
  ::fcntl(pipe_.get(), F_SETFL, O_NONBLOCK);
}

std::string TaskOutput::Read() {
  if (!pipe_.valid()) return {};
  char buffer[kChunkBytes];
  const ssize_t n = ::read(pipe_.get(), buffer, sizeof buffer);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return {};
  if (n <= 0) {
    pipe_.Reset();
    return std::exchange(partial_, {});
  }
  partial_.append(buffer, static_cast<size_t>(n));
  if (!by_line_ || partial_.size() >= kChunkBytes) return std::exchange(partial_, {});
  const size_t newline = partial_.rfind('\n');
  if (newline == std::string::npos) return {};
  std::string lines = partial_.substr(0, newline + 1);
  partial_.erase(0, newline + 1);
  return lines;
}

TaskInput::TaskInput(UniqueFd pipe) : pipe_(std::move(pipe)) {
  ::fcntl(pipe_.get(), F_SETFL, O_NONBLOCK);
}

void TaskInput::Add(std::string_view data) {
  if (data.empty()) ends_ = true;
  if (pipe_.valid() && !ends_) pending_.append(data);
}

void TaskInput::Write() {
  while (pipe_.valid() && !pending_.empty()) {
    const ssize_t n = ::write(pipe_.get(), pending_.data(), pending_.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) {
      pipe_.Reset();
      return pending_.clear();
    }
    pending_.erase(0, static_cast<size_t>(n));
  }
  if (ends_) pipe_.Reset();
}

}  // namespace holdfast::pod
