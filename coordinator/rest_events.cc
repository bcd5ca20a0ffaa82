#include "coordinator/rest_events.h"

#include <fmt/format.h>
#include <httplib.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <utility>

#include "base/log.h"
#include "base/numbers.h"
#include "coordinator/rest_body.h"
#include "coordinator/rest_gate.h"
#include "coordinator/rest_json.h"
#include "protocol/rest.h"

namespace holdfast::coordinator {
namespace {

using std::chrono::steady_clock;

constexpr unsigned kPage = 64;

std::string ToText(const NumberedEvent& event) {
  nlohmann::json data = ToJson(event.event);
  data["job_id"] = event.job_id;
  return fmt::format("id: {}\nevent: job\ndata: {}\n\n", event.number, protocol::ToText(data));
}

// Where it begins: nothing said is now.
Result<std::optional<int64_t>> ReadPlace(const httplib::Request& request) {
  const std::string text = request.get_header_value("Last-Event-ID");
  if (text.empty()) return std::nullopt;
  const auto place = ParseNumber<int64_t>(text);
  if (!place)
    return Fail(Code::kInvalid, "Last-Event-ID: the id of an event is expected, or 0 for all");
  return place;
}

}  // namespace

RestEvents::RestEvents(Controller& controller, RestRights& rights, const Limits& limits)
    : controller_(controller),
      rights_(rights),
      limits_(limits),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  thread_ = std::thread([this] { Run(); });
}

RestEvents::~RestEvents() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  ::eventfd_write(wake_.get(), 1);
  thread_.join();
}

std::optional<Refusal> RestEvents::Open(const httplib::Request& request, const Caller& caller,
                                        httplib::Response& response) {
  const auto refuse = [](const Error& error, int status) {
    return Refusal{.status = status,
                   .code = std::string(CodeName(error.code())),
                   .message = error.message(),
                   .next = ""};
  };
  if (const Status known = KnowParameters(request, {"job"}); !known)
    return refuse(known.error(), 400);
  const auto job = ReadParameter(request, "job", 0, 0, UINT32_MAX);
  if (!job) return refuse(job.error(), 400);
  const auto place = ReadPlace(request);
  if (!place) return refuse(place.error(), 400);
  const Result<int64_t> last = controller_.LastEvent();
  if (!last) return refuse(last.error(), 503);
  {
    const std::lock_guard lock(mutex_);
    size_t all = 0;
    for (const auto& [uid, count] : readers_) all += count;
    const auto theirs = readers_.find(caller.uid);
    const size_t mine = theirs == readers_.end() ? 0 : theirs->second;
    if (all >= limits_.streams || mine >= limits_.streams_of_a_user)
      return Refusal{.status = 429,
                     .code = "too-many-streams",
                     .message = fmt::format("there are {} streams of events, {} of them yours; at "
                                            "most {} may be, and {} of one user",
                                            all, mine, limits_.streams, limits_.streams_of_a_user),
                     .next = "close one",
                     .after = std::chrono::seconds(10)};
    ++readers_[caller.uid];
  }
  // However the request ends, its place is free again; the stream, if there comes to be one, takes
  // it over.
  const std::shared_ptr<void> seat(nullptr, [this, uid = caller.uid](void*) {
    const std::lock_guard lock(mutex_);
    Leave(uid);
  });
  RestGate::current().keep = [this, caller, job = *job, last = *last, from = *place,
                              seat](RestChannel channel) {
    ::setsockopt(channel.fd(), SOL_SOCKET, SO_SNDBUF, &limits_.send_buffer,
                 sizeof limits_.send_buffer);
    Stream stream{.channel = std::move(channel),
                  .caller = caller,
                  .job = job == 0 ? std::nullopt : std::optional(job),
                  .place = std::min(from.value_or(last), last),
                  .unsent = {},
                  .moved = steady_clock::now()};
    if (from.value_or(0) > last)
      Say(stream, "reset", "the journal has no event of that id: it is not the one that it was");
    const std::lock_guard lock(mutex_);
    ++readers_[caller.uid];
    opened_.push_back(std::move(stream));
    ::eventfd_write(wake_.get(), 1);
  };
  response.status = 200;
  response.set_header("Cache-Control", "no-store");
  // The head goes out without a length, and then the connection is the stream's.
  response.set_content_provider("text/event-stream", [](size_t, httplib::DataSink& sink) {
    const std::string_view begin = ": holdfast\n\n";
    sink.write(begin.data(), begin.size());
    sink.done();
    return true;
  });
  return std::nullopt;
}

void RestEvents::Leave(uid_t uid) {
  if (--readers_[uid] == 0) readers_.erase(uid);
}

void RestEvents::Run() {
  std::vector<pollfd> polled;
  while (true) {
    polled.assign(1, {.fd = wake_.get(), .events = POLLIN, .revents = 0});
    for (const Stream& stream : streams_) {
      const short wanted = stream.unsent.empty() ? 0 : stream.channel.events();
      polled.push_back({.fd = stream.channel.fd(),
                        .events = static_cast<short>(wanted | POLLRDHUP),
                        .revents = 0});
    }
    ::poll(polled.data(), polled.size(),
           streams_.empty()    ? -1
           : looked_ == Time() ? 0
                               : static_cast<int>(limits_.look.count()));
    const Time now = steady_clock::now();
    Look(now);
    auto ready = polled.begin();
    for (auto it = streams_.begin(); it != streams_.end();) {
      if (Serve(*it, (++ready)->revents, now)) {
        ++it;
        continue;
      }
      it->channel.Close();
      const std::lock_guard lock(mutex_);
      Leave(it->caller.uid);
      it = streams_.erase(it);
    }
    eventfd_t ignored;
    ::eventfd_read(wake_.get(), &ignored);
    const std::lock_guard lock(mutex_);
    if (stopping_) return streams_.clear();
    for (Stream& stream : std::exchange(opened_, {})) streams_.push_back(std::move(stream));
  }
}

void RestEvents::Look(Time now) {
  if (now - looked_ < limits_.look) return;
  looked_ = now;
  // Most are at the same place, the end.
  std::map<int64_t, std::vector<NumberedEvent>> pages;
  for (Stream& stream : streams_) {
    if (!stream.unsent.empty() || stream.ending) continue;
    auto page = pages.find(stream.place);
    if (page == pages.end()) {
      auto read = controller_.EventsAfter(stream.place, kPage);
      if (!read) return log::Failure("events", read.error());
      page = pages.emplace(stream.place, std::move(*read)).first;
    }
    Fill(stream, page->second);
    if (!stream.unsent.empty()) stream.moved = now;
    // There may be more: no need to wait for the next look.
    if (page->second.size() == kPage) looked_ = {};
  }
}

void RestEvents::Fill(Stream& stream, const std::vector<NumberedEvent>& page) {
  const Rights rights = rights_.Of(stream.caller.uid);
  std::map<uint32_t, bool> shown;
  for (const NumberedEvent& event : page) {
    stream.place = event.number;
    if (stream.job && *stream.job != event.job_id) continue;
    const auto [known, is_new] = shown.try_emplace(event.job_id);
    if (is_new)
      known->second =
          controller_.Is(event.job_id, [&](const Job& job) { return rights.Cover(job); });
    if (known->second) stream.unsent += ToText(event);
  }
}

void RestEvents::Say(Stream& stream, const std::string& event, const std::string& why) {
  stream.unsent += fmt::format("event: {}\ndata: {}\n\n", event,
                               protocol::ToText(nlohmann::json{{"detail", why}}));
}

bool RestEvents::Serve(Stream& stream, short ready, Time now) {
  if ((ready & (POLLERR | POLLHUP | POLLRDHUP)) != 0) return false;
  if (stream.caller.expires != 0 && !stream.ending && std::time(nullptr) > stream.caller.expires) {
    Say(stream, "expired", "the token has expired: come back with another");
    stream.ending = true;
  }
  if (stream.unsent.empty()) {
    if (stream.ending) return false;
    if (now - stream.moved < limits_.heartbeat) return true;
    stream.unsent = ": alive\n\n";
    stream.moved = now;
  }
  size_t sent = 0;
  const auto outcome = stream.channel.Send(stream.unsent.data(), stream.unsent.size(), sent);
  if (outcome == RestChannel::Outcome::kClosed) return false;
  if (sent > 0) {
    stream.unsent.erase(0, sent);
    stream.moved = now;
    return true;
  }
  if (stream.ending) return now - stream.moved < limits_.farewell;
  if (now - stream.moved >= limits_.patience) Cut(stream, now);
  return true;
}

void RestEvents::Cut(Stream& stream, Time now) {
  // What it has in memory may be half sent, and is finished; the rest stays in the journal.
  Say(stream, "cut", "nothing was read for too long: come back with the id of the last event");
  stream.ending = true;
  stream.moved = now;
  log::Info(
      "events-reader-cut",
      {{"uid", stream.caller.uid}, {"from", stream.channel.address()}, {"so-far", ++readers_cut_}});
}

}  // namespace holdfast::coordinator
