// PID 1 of a pod: makes the pod from inside its new namespaces, starts pod-root, reaps everything,
// and dies with the warden. It is a small program of its own, so that what stays in every pod for
// the job's whole life is small. Single-threaded.
#pragma once

namespace holdfast::warden {

// `holdfast-pod-init HOSTNAME HOSTS_FILE UID GID [GROUP...]`, started by warden/isolation/pod.cc as
// PID 1 in new mount, UTS, network and PID namespaces, with warden/isolation/pod_control.h on
// descriptor 3. Returns the exit status; the pod ends with it.
int RunPodInit(int argc, char** argv);

}  // namespace holdfast::warden
