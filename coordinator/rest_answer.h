// What the REST API's handlers give back, and how it goes out. Used by rest_*.cc.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace httplib {
struct Request;
struct Response;
}  // namespace httplib

namespace holdfast::coordinator {

struct Reply {
  nlohmann::json body;
  int status = 200;
  std::string location;  // of what can be followed, if not empty
};

// A refusal whose code is none of base/result.h's: codes are for programs, and stay as they are.
struct Refusal {
  int status = 0;
  std::string code;
  std::string message;
  std::string next;               // what can be done
  std::chrono::seconds after{0};  // when it may be tried again
};

void Answer(const httplib::Request& request, httplib::Response& response,
            const Result<Reply>& reply);
void Refuse(httplib::Response& response, const Refusal& refusal);

}  // namespace holdfast::coordinator
