#include "warden/notices/watcher.h"

#include <fcntl.h>
#include <sys/file.h>

#include "base/files.h"
#include "base/log.h"
#include "warden/notices/source.h"

namespace holdfast::notices {
namespace {

using namespace std::chrono_literals;

// How long it may take until another warden watches when the one that did has gone.
constexpr auto kElectionInterval = 1s;
// How often a configured metadata server that does not answer yet is asked who it is.
constexpr auto kDetectionInterval = 10s;

}  // namespace

std::chrono::seconds NoticeTime(const Settings& settings) {
  const Source* const source = settings.provider == "auto"
                                   ? DetectByFirmware(settings)
                                   : ParseProvider(settings.provider).value_or(nullptr);
  return source ? NoticeTime(settings, *source) : 0s;
}

Result<std::unique_ptr<Watcher>> Watcher::Start(Settings settings,
                                                std::function<void(const Notice&)> callback) {
  if (settings.provider != "auto") HOLDFAST_CHECK(ParseProvider(settings.provider));
  HOLDFAST_CHECK(MakeDirectories(settings.lock_directory, 0700));
  HOLDFAST_TRY(UniqueFd lock,
               OpenFile(settings.lock_directory + "/notices.lock", O_RDWR | O_CREAT, 0600));
  return std::unique_ptr<Watcher>(
      new Watcher(std::move(settings), std::move(lock), std::move(callback)));
}

Watcher::Watcher(Settings settings, UniqueFd lock, std::function<void(const Notice&)> callback)
    : settings_(std::move(settings)), lock_(std::move(lock)), callback_(std::move(callback)) {
  thread_ = std::jthread([this](std::stop_token stop) { Run(stop); });
}

void Watcher::Run(std::stop_token stop) {
  if (settings_.provider == "none") return;
  // The lock is let go when the descriptor is closed, also by the kernel for a warden that died.
  while (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0)
    if (!Sleep(stop, kElectionInterval)) return;

  http::Client client;
  const Source* source = Detect(settings_, client, stop);
  // Only a server that somebody configured is waited for.
  while (!source && !settings_.metadata_url.empty()) {
    if (!Sleep(stop, kDetectionInterval)) return;
    source = Detect(settings_, client, stop);
  }
  log::Info("notices.watching", {{"provider", source ? source->name : "none"}});
  if (source)
    source->watch({.settings = settings_, .client = client, .report = callback_}, std::move(stop));
}

}  // namespace holdfast::notices
