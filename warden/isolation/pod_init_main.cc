#include "warden/isolation/pod_init.h"

int main(int argc, char** argv) { return holdfast::warden::RunPodInit(argc, argv); }
