#include "cli/client.h"

#include <fmt/format.h>
#include <httplib.h>
#include <pwd.h>

#include "protocol/rest.h"

namespace holdfast::cli {
namespace {

using nlohmann::json;

// Of an answer that is not 2xx: {"error": {"code": ..., "message": ..., "next": ...}}.
Error ToError(int status, const std::string& body) {
  const json answer = json::parse(body, nullptr, false);
  const json error = answer.is_object() ? answer.value("error", json()) : json();
  if (!error.is_object())
    return {Code::kInternal, fmt::format("the coordinator answered with HTTP status {}", status)};
  std::string message = error.value("message", "");
  // Some say it themselves.
  if (const std::string next = error.value("next", "");
      !next.empty() && !message.contains("next: "))
    message += "\n  next: " + next;
  return {CodeFromName(error.value("code", "")), message};
}

}  // namespace

Result<json> AllJobs(Api& api) {
  json jobs = json::array();
  std::string cursor;
  do {
    HOLDFAST_TRY(const json page,
                 api.Get(cursor.empty() ? "/v1/jobs" : "/v1/jobs?cursor=" + cursor));
    for (const json& job : page.at("jobs")) jobs.push_back(job);
    const json next = page.value("next", json());
    cursor = next.is_string() ? next.get<std::string>() : "";
  } while (!cursor.empty());
  return jobs;
}

Client::Verifier Client::OfUser(std::string user) {
  return [user = std::move(user)](const std::string& credential,
                                  const std::string& payload) -> Status {
    const passwd* found = ::getpwnam(user.c_str());
    if (found == nullptr)
      return Fail(Code::kInvalid,
                  fmt::format("this machine does not know the coordinator's user {}: create it, or "
                              "set coordinator.user",
                              user));
    return protocol::Verify(credential, found->pw_uid, payload);
  };
}

Result<json> Client::Get(const std::string& target) { return Send("GET", target, ""); }

Result<json> Client::Post(const std::string& target, const json& body) {
  return Send("POST", target, protocol::ToText(body));
}

Result<json> Client::Send(const std::string& method, const std::string& target,
                          const std::string& body) {
  auto credential = seal_(protocol::RestPurpose(method, target, body));
  if (!credential) return std::unexpected(std::move(credential).error());

  httplib::Client http(host_, port_);
  http.set_connection_timeout(std::chrono::seconds(5));
  http.set_read_timeout(patience_);
  const httplib::Headers headers{
      {"Authorization", std::string(protocol::kRestScheme) + *credential},
      {"Accept", "application/json"}};
  const httplib::Result answer = method == "GET"
                                     ? http.Get(target, headers)
                                     : http.Post(target, headers, body, "application/json");
  if (!answer)
    return Fail(Code::kUnavailable, fmt::format("asking the coordinator at {} port {}: {}", host_,
                                                port_, httplib::to_string(answer.error())));
  const Status proved = Proved(*credential, *answer);
  if (answer->status / 100 != 2) {
    Error error = ToError(answer->status, answer->body);
    if (proved || error.code() == Code::kDenied) return std::unexpected(std::move(error));
    return Fail(Code::kUnavailable, error.message());
  }
  if (!proved)
    return std::unexpected(
        Error(proved.error())
            .Wrap(fmt::format("the answer of {} port {} is not the coordinator's", host_, port_)));
  json parsed = json::parse(answer->body, nullptr, false);
  if (parsed.is_discarded())
    return Fail(
        Code::kInternal,
        fmt::format("the answer of the coordinator at {} port {} is no JSON", host_, port_));
  return parsed;
}

Status Client::Proved(const std::string& credential, const httplib::Response& answer) const {
  const std::string proof = answer.get_header_value(protocol::kRestProof);
  if (!proof.starts_with(protocol::kRestScheme))
    return Fail(Code::kDenied, "it carries no proof; an older Holdfast gives none");
  return verify_(proof.substr(protocol::kRestScheme.size()),
                 protocol::AnswerPurpose(credential, answer.status, answer.body));
}

}  // namespace holdfast::cli
