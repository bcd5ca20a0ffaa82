// CRIU's strcmp(3), by which it looks up what it may leave outside (external_lookup_id in
// criu/external.c of 4.2): there kEveryUnixSocket of node_connections.h equals the name of every
// unix socket. A list would not do, for CRIU reads it before it freezes the processes, and a
// program that asks a daemon has a new socket for every question.
#include <cstring>

namespace {

constexpr char kEveryUnixSocket[] = "unix[*]";
constexpr char kUnixSocket[] = "unix[";

bool Begins(const char* text, const char* with) {
  while (*with != '\0' && *text == *with) ++text, ++with;
  return *with == '\0';
}

// With the end of the text.
bool Is(const char* text, const char* other) {
  while (*other != '\0' && *text == *other) ++text, ++other;
  return *text == *other;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int strcmp(const char* one,
                                                             const char* other) noexcept {
  if (Is(one, kEveryUnixSocket) && Begins(other, kUnixSocket)) return 0;
  while (*one != '\0' && *one == *other) ++one, ++other;
  return static_cast<unsigned char>(*one) - static_cast<unsigned char>(*other);
}
