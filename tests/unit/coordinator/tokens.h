// Tokens as Slurm's auth/jwt makes them, and as somebody would who is not Slurm.
#pragma once

#include <jwt.h>

#include <cstdlib>
#include <optional>
#include <string>

namespace holdfast::coordinator {

struct Claims {
  std::string user;  // empty: none
  std::optional<long> expires;
  jwt_alg_t algorithm = JWT_ALG_HS256;
  const char* user_field = "sun";
};

inline std::string MakeToken(const Claims& claims, const std::string& key) {
  jwt_t* token = nullptr;
  jwt_new(&token);
  jwt_set_alg(token, claims.algorithm,
              claims.algorithm == JWT_ALG_NONE ? nullptr
                                               : reinterpret_cast<const unsigned char*>(key.data()),
              claims.algorithm == JWT_ALG_NONE ? 0 : static_cast<int>(key.size()));
  if (claims.expires) jwt_add_grant_int(token, "exp", *claims.expires);
  if (!claims.user.empty()) jwt_add_grant(token, claims.user_field, claims.user.c_str());
  char* encoded = jwt_encode_str(token);
  std::string text = encoded;
  std::free(encoded);
  jwt_free(token);
  return text;
}

}  // namespace holdfast::coordinator
