#include "warden/isolation/outside_program.h"

int main() { return holdfast::warden::RunOutside(); }
