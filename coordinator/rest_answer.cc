#include "coordinator/rest_answer.h"

#include <fmt/format.h>
#include <httplib.h>

#include "coordinator/rest_json.h"
#include "coordinator/why.h"
#include "protocol/rest.h"

namespace holdfast::coordinator {
namespace {

int HttpStatus(Code code) {
  switch (code) {
    case Code::kInvalid:
      return 400;
    case Code::kDenied:
      return 403;
    case Code::kNotFound:
      return 404;
    case Code::kConflict:
      return 409;
    case Code::kUnavailable:
      return 503;
    default:
      return 500;
  }
}

std::string NextStep(Code code, const std::string& job_id) {
  switch (code) {
    case Code::kConflict:
      return fmt::format("holdfast why {}", job_id);
    case Code::kNotFound:
      return "holdfast list";
    case Code::kUnavailable:
      return "try again in a moment";
    default:
      return "";
  }
}

}  // namespace

void Answer(const httplib::Request& request, httplib::Response& response,
            const Result<Reply>& reply) {
  if (reply) {
    response.status = reply->status;
    if (!reply->location.empty()) response.set_header("Location", reply->location);
    response.set_content(protocol::ToText(reply->body), "application/json");
    return;
  }
  const Error& error = reply.error();
  const std::string job_id = request.matches.size() > 1 ? request.matches[1].str() : "";
  const std::string remedy = RemedyIn(error.message());
  Refuse(response, {.status = HttpStatus(error.code()),
                    .code = std::string(CodeName(error.code())),
                    .message = error.message(),
                    .next = remedy.empty() ? NextStep(error.code(), job_id) : remedy});
}

void Refuse(httplib::Response& response, const Refusal& refusal) {
  response.status = refusal.status;
  if (refusal.after.count() > 0)
    response.set_header("Retry-After", fmt::format("{}", refusal.after.count()));
  response.set_content(
      protocol::ToText(ToProblem(refusal, httplib::status_message(refusal.status))),
      "application/problem+json");
}

}  // namespace holdfast::coordinator
