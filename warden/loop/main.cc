#include <unistd.h>

#include "warden/loop/warden.h"

int main() { return holdfast::warden::RunWarden(environ); }
