#include "warden/loop/timeline.h"

namespace holdfast::warden {

v1::FromWarden MakeEvent(const std::string& name, uint32_t checkpoint,
                         std::chrono::nanoseconds duration, const std::string& detail) {
  v1::FromWarden message;
  v1::Event& event = *message.mutable_event();
  event.set_name(name);
  event.set_unix_ns(std::chrono::duration_cast<std::chrono::nanoseconds>(
                        std::chrono::system_clock::now().time_since_epoch())
                        .count());
  event.set_duration_ns(duration.count());
  event.set_detail(detail);
  event.set_checkpoint(checkpoint);
  return message;
}

int64_t UnixMs(std::chrono::system_clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

}  // namespace holdfast::warden
