#include "base/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#include "base/deleter.h"

namespace holdfast::http {
namespace {

// More than any answer that is not meant for a sink.
constexpr size_t kMaxBody = size_t{64} << 20;

std::string_view Trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

// scheme://host:port of a URL: what messages say. Paths and queries may hold names of users' data,
// session URLs are secrets.
std::string HostOf(const std::string& url) {
  const size_t scheme = url.find("://");
  return url.substr(0, scheme == std::string::npos ? 0 : url.find_first_of("/?", scheme + 3));
}

// One request on its way. Owned by the Send that waits for it; between Add and Finish only the
// loop's thread touches it.
struct Transfer {
  const Request& request;
  std::unique_ptr<CURL, Deleter<curl_easy_cleanup>> easy{curl_easy_init()};
  std::unique_ptr<curl_slist, Deleter<curl_slist_free_all>> headers;
  Response response;
  size_t sent = 0;
  size_t received = 0;
  bool overflow = false;
  char detail[CURL_ERROR_SIZE] = {};

  std::mutex mutex;
  std::condition_variable changed;
  std::optional<CURLcode> result;
};

size_t OnHeader(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::string_view line(data, size * count);
  if (line.starts_with("HTTP/")) {  // also after an interim 100: only the last answer counts
    transfer.response.headers.clear();
  } else if (const size_t colon = line.find(':'); colon != std::string_view::npos) {
    std::string name(line.substr(0, colon));
    std::ranges::transform(name, name.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    std::string& value = transfer.response.headers[name];
    if (!value.empty()) value += ",";  // RFC 9110, 5.3
    value += Trim(line.substr(colon + 1));
  }
  return size * count;
}

size_t OnBody(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const size_t length = size * count;
  long status = 0;
  curl_easy_getinfo(transfer.easy.get(), CURLINFO_RESPONSE_CODE, &status);
  if (transfer.request.sink.empty() || status / 100 != 2) {
    transfer.overflow = transfer.response.body.size() + length > kMaxBody;
    if (transfer.overflow) return CURL_WRITEFUNC_ERROR;
    transfer.response.body.append(data, length);
    return length;
  }
  transfer.overflow = length > transfer.request.sink.size() - transfer.received;
  if (transfer.overflow) return CURL_WRITEFUNC_ERROR;
  std::memcpy(transfer.request.sink.data() + transfer.received, data, length);
  transfer.received += length;
  return length;
}

size_t OnRead(char* buffer, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const auto rest = transfer.request.body->subspan(transfer.sent);
  const size_t length = std::min(size * count, rest.size());
  std::memcpy(buffer, rest.data(), length);
  transfer.sent += length;
  return length;
}

// curl sends a request again, and from its beginning, when a kept connection ends under it.
int OnSeek(void* user, curl_off_t offset, int origin) {
  auto& transfer = *static_cast<Transfer*>(user);
  if (origin != SEEK_SET || static_cast<size_t>(offset) > transfer.request.body->size())
    return CURL_SEEKFUNC_FAIL;
  transfer.sent = static_cast<size_t>(offset);
  return CURL_SEEKFUNC_OK;
}

// Called at least once a second and whenever the loop is woken up.
int OnProgress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<Transfer*>(user)->request.stop.stop_requested() ? 1 : 0;
}

void SetBody(Transfer& transfer) {
  CURL* easy = transfer.easy.get();
  const std::string& method = transfer.request.method;
  if (transfer.request.body) {
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, OnRead);
    curl_easy_setopt(easy, CURLOPT_READDATA, &transfer);
    // Not without asking what has arrived, if it is much.
    if (!transfer.request.bulk) {
      curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, OnSeek);
      curl_easy_setopt(easy, CURLOPT_SEEKDATA, &transfer);
    }
    curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE,
                     static_cast<curl_off_t>(transfer.request.body->size()));
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 1L << 20);
  }
  if (method == "HEAD") curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
  if (method != "GET" || transfer.request.body)
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method.c_str());
}

void SetLimits(Transfer& transfer) {
  CURL* easy = transfer.easy.get();
  const Request& request = transfer.request;
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                   static_cast<long>(request.connect_timeout.count()));
  if (request.deadline != Clock::time_point::max()) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(request.deadline - Clock::now()).count();
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, std::max<long>(1, left));
  }
  if (request.stall_timeout.count() > 0) {
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME,
                     static_cast<long>(request.stall_timeout.count()));
  }
  curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, OnProgress);
  curl_easy_setopt(easy, CURLOPT_XFERINFODATA, &transfer);
}

void SetUp(Transfer& transfer, const ClientOptions& options) {
  CURL* easy = transfer.easy.get();
  const Request& request = transfer.request;
  curl_easy_setopt(easy, CURLOPT_PRIVATE, &transfer);
  curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, long{CURL_SSLVERSION_TLSv1_2});
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "holdfast/" HOLDFAST_VERSION);
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                   long{request.bulk ? CURL_HTTP_VERSION_1_1 : CURL_HTTP_VERSION_2TLS});
  curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, request.bulk ? 512L << 10 : 16L << 10);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer.detail);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, OnHeader);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, OnBody);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
  if (!options.ca_file.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, options.ca_file.c_str());
  if (request.direct)
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
  else if (!options.proxy.empty())
    curl_easy_setopt(easy, CURLOPT_PROXY, options.proxy.c_str());
  if (const auto& signature = request.aws_signature) {
    const std::string scope = "aws:amz:" + signature->region + ":" + signature->service;
    curl_easy_setopt(easy, CURLOPT_AWS_SIGV4, scope.c_str());
    curl_easy_setopt(easy, CURLOPT_USERNAME, signature->key_id.c_str());
    curl_easy_setopt(easy, CURLOPT_PASSWORD, signature->secret.c_str());
  }
  SetBody(transfer);
  SetLimits(transfer);
  curl_slist* list = curl_slist_append(nullptr, "Expect:");  // no wait for a 100 before each chunk
  for (const std::string& header : request.headers) list = curl_slist_append(list, header.c_str());
  transfer.headers.reset(list);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, list);
}

Error ToError(const Transfer& transfer, CURLcode code) {
  const Request& request = transfer.request;
  const std::string what = request.method + " at " + HostOf(request.url) + ": ";
  const std::string cause = transfer.detail[0] != '\0' ? transfer.detail : curl_easy_strerror(code);
  switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return Error(Code::kInvalid, what + cause);
    case CURLE_WRITE_ERROR:
      if (transfer.overflow)
        return Error(Code::kInvalid, what + "the answer is longer than what was asked for");
      break;
    case CURLE_ABORTED_BY_CALLBACK:
      return Error(Code::kCancelled, what + "given up on request");
    case CURLE_OPERATION_TIMEDOUT:
      // Also a connect timeout or a stall, after which there may be time for another attempt.
      if (Clock::now() >= request.deadline)
        return Error(Code::kTimeout, what + "no answer before the deadline");
      break;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
      return Error(Code::kDenied, what + cause +
                                      "; if a proxy or private endpoint uses its own certificate "
                                      "authority, name that in the configuration (cloud.ca_file)");
    case CURLE_SSL_CACERT_BADFILE:
      return Error(Code::kInvalid, what + cause + "; check cloud.ca_file in the configuration");
    default:
      break;
  }
  long refused_by = 0;
  curl_easy_getinfo(transfer.easy.get(), CURLINFO_OS_ERRNO, &refused_by);
  return Error(Code::kUnavailable, what + cause, static_cast<int>(refused_by));
}

void InitialiseCurlOnce() {
  static const CURLcode done = curl_global_init(CURL_GLOBAL_DEFAULT);
  static_cast<void>(done);
}

}  // namespace

std::string_view Response::Header(std::string_view name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string_view() : found->second;
}

class Client::Loop {
 public:
  explicit Loop(ClientOptions options) : options_(std::move(options)) {
    InitialiseCurlOnce();
    multi_ = curl_multi_init();
    curl_multi_setopt(multi_, CURLMOPT_MAX_HOST_CONNECTIONS,
                      static_cast<long>(options_.max_connections));
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(options_.max_connections));
    thread_ = std::jthread([this](std::stop_token stop) { Run(stop); });
  }

  ~Loop() {
    thread_.request_stop();
    curl_multi_wakeup(multi_);
    thread_.join();
    curl_multi_cleanup(multi_);
  }

  Outcome Send(const Request& request) {
    Transfer transfer{.request = request};
    SetUp(transfer, options_);
    {
      std::lock_guard lock(mutex_);
      queue_.push_back(&transfer);
    }
    curl_multi_wakeup(multi_);
    const std::stop_callback wake(request.stop, [this] { curl_multi_wakeup(multi_); });
    std::unique_lock lock(transfer.mutex);
    transfer.changed.wait(lock, [&] { return transfer.result.has_value(); });
    Outcome outcome{.response = std::move(transfer.response),
                    .sent_bytes = transfer.sent,
                    .received_bytes = transfer.received};
    long status = 0;
    curl_easy_getinfo(transfer.easy.get(), CURLINFO_RESPONSE_CODE, &status);
    outcome.response->status = static_cast<int>(status);
    if (*transfer.result != CURLE_OK)
      outcome.response = std::unexpected(ToError(transfer, *transfer.result));
    return outcome;
  }

 private:
  void Run(std::stop_token stop) {
    while (!stop.stop_requested()) {
      Take();
      int running = 0;
      curl_multi_perform(multi_, &running);
      Reap();
      curl_multi_poll(multi_, nullptr, 0, 1000, nullptr);
    }
  }

  void Take() {
    std::vector<Transfer*> taken;
    {
      std::lock_guard lock(mutex_);
      taken.swap(queue_);
    }
    for (Transfer* transfer : taken)
      if (curl_multi_add_handle(multi_, transfer->easy.get()) != CURLM_OK)
        Finish(*transfer, CURLE_FAILED_INIT);
  }

  void Reap() {
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const CURLcode code = message->data.result;
      Transfer* transfer = nullptr;
      curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
      curl_multi_remove_handle(multi_, message->easy_handle);
      Finish(*transfer, code);
    }
  }

  // The Transfer is gone as soon as its Send sees the result.
  static void Finish(Transfer& transfer, CURLcode code) {
    std::lock_guard lock(transfer.mutex);
    transfer.result = code;
    transfer.changed.notify_one();
  }

  const ClientOptions options_;
  CURLM* multi_ = nullptr;
  std::mutex mutex_;
  std::vector<Transfer*> queue_;
  std::jthread thread_;
};

Client::Client(ClientOptions options) : loop_(std::make_unique<Loop>(std::move(options))) {}
Client::~Client() = default;
Outcome Client::Send(const Request& request) { return loop_->Send(request); }

std::string Escape(std::string_view text) {
  constexpr std::string_view kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string escaped;
  for (const char c : text) {
    if (kPlain.contains(c)) {
      escaped += c;
    } else {
      escaped += '%';
      escaped += kHex[static_cast<unsigned char>(c) >> 4];
      escaped += kHex[static_cast<unsigned char>(c) & 15];
    }
  }
  return escaped;
}

}  // namespace holdfast::http
