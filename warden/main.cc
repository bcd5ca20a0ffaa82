#include <unistd.h>

#include "warden/warden.h"

int main() { return holdfast::warden::RunWarden(environ); }
