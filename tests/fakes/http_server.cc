#include "tests/fakes/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace holdfast::fakes {
namespace {

constexpr size_t kMaxHead = 64 * 1024;
constexpr size_t kReadBytes = 256 * 1024;

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

std::string_view Trim(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

const char* ReasonOf(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 308:
      return "Resume Incomplete";
    case 404:
      return "Not Found";
    case 412:
      return "Precondition Failed";
    default:
      return "Status";
  }
}

}  // namespace

std::string Unescape(std::string_view text, bool query) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16).ptr ==
            text.data() + i + 3) {
      plain += static_cast<char>(value);
      i += 2;
    } else {
      plain += query && text[i] == '+' ? ' ' : text[i];
    }
  }
  return plain;
}

void RateLimit::Take(uint64_t size_bytes) {
  constexpr std::chrono::milliseconds kCatchUp{20};
  const uint64_t rate = bytes_per_second_;
  if (rate == 0) return;
  const std::chrono::nanoseconds cost(size_bytes * 1'000'000'000 / rate);
  std::chrono::steady_clock::time_point until;
  {
    const std::lock_guard lock(mutex_);
    // Who was woken too late may catch up, or the rate would be the timers' accuracy.
    free_at_ = std::max(free_at_, std::chrono::steady_clock::now() - kCatchUp) + cost;
    until = free_at_;
  }
  std::this_thread::sleep_until(until);
}

std::string Exchange::Header(std::string_view name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

std::string Exchange::Query(std::string_view name) const {
  const auto found = query.find(name);
  return found == query.end() ? "" : found->second;
}

bool Exchange::Fill() {
  const size_t before = buffered_.size();
  buffered_.resize(before + kReadBytes);
  const ssize_t count = ::recv(socket_.get(), buffered_.data() + before, kReadBytes, 0);
  buffered_.resize(before + static_cast<size_t>(std::max<ssize_t>(count, 0)));
  if (count <= 0) broken_ = true;
  return count > 0;
}

bool Exchange::ReadHead() {
  size_t end;
  while ((end = buffered_.find("\r\n\r\n")) == buffered_.npos)
    if (buffered_.size() > kMaxHead || !Fill()) return false;
  const std::string head = buffered_.substr(0, end + 2);
  buffered_.erase(0, end + 4);

  size_t line = head.find("\r\n");
  const std::string first = head.substr(0, line);
  const size_t blank = first.find(' ');
  const size_t blank2 = first.find(' ', blank + 1);
  if (blank == first.npos || blank2 == first.npos) return false;
  method = first.substr(0, blank);
  const std::string target = first.substr(blank + 1, blank2 - blank - 1);
  const size_t mark = std::min(target.find('?'), target.size());
  path = target.substr(0, mark);
  for (size_t at = mark; at < target.size();) {
    const size_t next = std::min(target.find('&', at + 1), target.size());
    const std::string pair = target.substr(at + 1, next - at - 1);
    const size_t equals = std::min(pair.find('='), pair.size());
    query[Unescape(pair.substr(0, equals), true)] =
        equals < pair.size() ? Unescape(pair.substr(equals + 1), true) : "";
    at = next;
  }
  for (line += 2; line < head.size();) {
    const size_t next = head.find("\r\n", line);
    const std::string_view text = std::string_view(head).substr(line, next - line);
    if (const size_t colon = text.find(':'); colon != text.npos)
      headers[Lower(text.substr(0, colon))] = Trim(text.substr(colon + 1));
    line = next + 2;
  }
  chunked_ = Lower(Header("transfer-encoding")) == "chunked";
  body_left_ = chunked_ ? 0 : std::strtoull(Header("content-length").c_str(), nullptr, 10);
  expects_continue_ = Lower(Header("expect")) == "100-continue";
  return true;
}

bool Exchange::NextChunk() {
  // "SIZE\r\n", and before it the end of the chunk read last.
  size_t end;
  if (buffered_.starts_with("\r\n")) buffered_.erase(0, 2);
  while ((end = buffered_.find("\r\n")) == buffered_.npos || end == 0) {
    if (end == 0) buffered_.erase(0, 2);
    if (!Fill()) return false;
  }
  body_left_ = std::strtoull(buffered_.c_str(), nullptr, 16);
  buffered_.erase(0, end + 2);
  chunks_ended_ = body_left_ == 0;
  return !chunks_ended_;
}

size_t Exchange::ReadBody(std::span<char> out) {
  if (std::exchange(expects_continue_, false)) {
    constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    SendAll(kContinue);
  }
  if (chunked_ && body_left_ == 0 && (chunks_ended_ || !NextChunk())) return 0;
  if (body_left_ == 0) return 0;
  const size_t wanted = std::min<uint64_t>(out.size(), body_left_);
  size_t count = 0;
  if (!buffered_.empty()) {
    count = std::min(wanted, buffered_.size());
    std::memcpy(out.data(), buffered_.data(), count);
    buffered_.erase(0, count);
  } else {
    const ssize_t got = ::recv(socket_.get(), out.data(), wanted, 0);
    if (got <= 0) {
      broken_ = true;
      return 0;
    }
    count = static_cast<size_t>(got);
  }
  body_left_ -= count;
  for (RateLimit* limit : limits) limit->Take(count);
  return count;
}

std::string Exchange::ReadWholeBody() {
  std::string body;
  std::vector<char> buffer(kReadBytes);
  while (const size_t count = ReadBody(buffer)) body.append(buffer.data(), count);
  return body;
}

void Exchange::SendAll(std::span<const char> data) {
  while (!data.empty() && !broken_) {
    const ssize_t count = ::send(socket_.get(), data.data(), data.size(), MSG_NOSIGNAL);
    if (count <= 0)
      broken_ = true;
    else
      data = data.subspan(static_cast<size_t>(count));
  }
}

void Exchange::SendHead(int status, const Headers& fields, uint64_t body_bytes) {
  std::string head = "HTTP/1.1 " + std::to_string(status) + " " + ReasonOf(status) + "\r\n";
  for (const auto& [name, value] : fields) head += name + ": " + value + "\r\n";
  if (status != 204) head += "Content-Length: " + std::to_string(body_bytes) + "\r\n";
  responded_ = true;
  SendAll(head + "\r\n");
}

void Exchange::SendBody(std::span<const char> data) {
  while (!data.empty() && !broken_) {
    const auto piece = data.first(std::min(data.size(), kReadBytes));
    for (RateLimit* limit : limits) limit->Take(piece.size());
    SendAll(piece);
    data = data.subspan(piece.size());
  }
}

void Exchange::Respond(int status, const Headers& fields, std::string_view body) {
  SendHead(status, fields, body.size());
  if (method != "HEAD" && status != 204) SendBody(body);
}

void Exchange::Drop() {
  const linger reset{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  broken_ = true;
}

void Exchange::Stall() {
  pollfd gone{.fd = socket_.get(), .events = POLLRDHUP, .revents = 0};
  ::poll(&gone, 1, -1);
  broken_ = true;
}

HttpServer::HttpServer(Handler handler, uint16_t port, const std::string& address)
    : handler_(std::move(handler)), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const int on = 1;
  ::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(port);
  socklen_t length = sizeof name;
  auto* generic = reinterpret_cast<sockaddr*>(&name);
  if (::inet_pton(AF_INET, address.c_str(), &name.sin_addr) != 1 ||
      ::bind(listener_.get(), generic, length) != 0 || ::listen(listener_.get(), 128) != 0 ||
      ::getsockname(listener_.get(), generic, &length) != 0) {
    std::perror(("listening on " + address + ":" + std::to_string(port)).c_str());
    std::abort();
  }
  port_ = ntohs(name.sin_port);
  acceptor_ = std::thread([this] { Accept(); });
}

HttpServer::~HttpServer() {
  ::shutdown(listener_.get(), SHUT_RDWR);
  acceptor_.join();
  Reap(/*all=*/true);
}

void HttpServer::Accept() {
  while (true) {
    UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket.valid()) return;
    const int on = 1;
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ++accepted_;
    Reap(/*all=*/false);
    const std::lock_guard lock(mutex_);
    Connection& connection = connections_.emplace_back();
    connection.socket = std::move(socket);
    connection.thread = std::thread([this, &connection] { Serve(connection); });
  }
}

void HttpServer::Serve(Connection& connection) {
  std::string buffered;
  while (true) {
    Exchange exchange(connection.socket, buffered);
    if (!exchange.ReadHead()) break;
    handler_(exchange);
    // What the handler left of the body would be taken for the next request.
    if (exchange.broken() || !exchange.responded() || exchange.body_left()) break;
    if (Lower(exchange.Header("connection")) == "close") break;
  }
  const std::lock_guard lock(mutex_);
  connection.socket.Reset();
  connection.done = true;
}

void HttpServer::Reap(bool all) {
  std::list<Connection> ended;
  {
    const std::lock_guard lock(mutex_);
    for (auto it = connections_.begin(); it != connections_.end();) {
      const auto next = std::next(it);
      if (all && it->socket.valid()) ::shutdown(it->socket.get(), SHUT_RDWR);
      if (all || it->done) ended.splice(ended.end(), connections_, it);
      it = next;
    }
  }
  for (Connection& connection : ended) connection.thread.join();
}

}  // namespace holdfast::fakes
