/* A 32-bit program that sleeps two seconds, and ends with the errno of that. */
static int Call(int number, int first, int second) {
  int result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(first), "c"(second) : "memory");
  return result;
}

void _start(void) {
  enum { kExit = 1, kNanosleep = 162 };
  const struct {
    int seconds, nanoseconds;
  } time = {2, 0};
  Call(kExit, -Call(kNanosleep, (int)&time, 0), 0);
}
