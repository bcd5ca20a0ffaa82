#include "pod/group_witness.h"

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "base/files.h"

namespace holdfast::pod {
namespace {

// killpg(2) signals one member of the group after the other, and this process may be the first.
constexpr std::chrono::milliseconds kRestOfGroup{5};

Result<Process> Spawn(const std::string& program) {
  return Process::Spawn({.argv = {program, kWitnessArgument}});
}

// ShdPnd of proc_pid_status(5): signals pending for the process as a whole, in hexadecimal.
Result<uint64_t> PendingSignals(pid_t pid) {
  HOLDFAST_TRY(const std::string status, ReadFile("/proc/" + std::to_string(pid) + "/status"));
  constexpr std::string_view kField = "\nShdPnd:";
  const size_t at = status.find(kField);
  if (at == std::string::npos) return Fail(Code::kCorrupt, "/proc/PID/status has no ShdPnd");
  return std::strtoull(status.c_str() + at + kField.size(), nullptr, 16);
}

}  // namespace

Result<GroupWitness> GroupWitness::Start(std::string program) {
  HOLDFAST_TRY(Process process, Spawn(program));
  return GroupWitness(std::move(program), std::move(process));
}

Result<bool> GroupWitness::Saw(int signal) {
  std::this_thread::sleep_for(kRestOfGroup);
  // One that was too new to block the signal has died of it.
  const auto ended = process_.Wait(std::chrono::milliseconds(0));
  bool saw = ended && ended->signal == signal;
  if (!ended) {
    HOLDFAST_TRY(const uint64_t pending, PendingSignals(process_.pid()));
    saw = (pending >> (signal - 1) & 1) != 0;
  }
  if (ended || saw) {
    HOLDFAST_TRY(process_, Spawn(program_));
  }
  return saw;
}

void BeWitness() {
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  while (true) ::pause();
}

}  // namespace holdfast::pod
