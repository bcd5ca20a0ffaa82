#include "pod/steps/broadcast.h"

#include <fcntl.h>
#include <getopt.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>

#include "base/files.h"
#include "base/numbers.h"
#include "base/process.h"
#include "pod/pod_directory.h"
#include "pod/steps/hostlist.h"
#include "pod/steps/site_programs.h"
#include "pod/steps/values.h"

namespace holdfast::pod {
namespace {

// Slurm's "Unspecified error".
constexpr int kUnspecified = 255;

void Tell(const std::string& line) {
  const std::string text = "sbcast: " + line + "\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
}
int SayAndFail(const std::string& line) {
  Tell("error: " + line);
  return EXIT_FAILURE;
}
int Hint(const std::string& line) {
  const std::string text = line + "Try \"sbcast --help\" for more information\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
  return EXIT_FAILURE;
}

struct BroadcastOptions {
  bool force = ::getenv("SBCAST_FORCE") != nullptr;
  bool preserve = ::getenv("SBCAST_PRESERVE") != nullptr;
  bool send_libs = false;
  bool is_sites = false;  // not about this job
  std::string hosts;
  std::vector<std::string> names;
};

bool IsThisJob(const char* id) {
  const char* const own = ::getenv("SLURM_JOB_ID");
  return own != nullptr && std::string_view(own) == id;
}

// Nothing if they are wrong, and that has been said.
std::optional<BroadcastOptions> ParseBroadcast(const std::vector<std::string>& arguments) {
  enum { kIgnored = 0x100, kSendLibs, kSites };
  constexpr option kOptions[] = {{"compress", optional_argument, nullptr, 'C'},
                                 {"exclude", required_argument, nullptr, kIgnored},
                                 {"fanout", required_argument, nullptr, 'F'},
                                 {"treewidth", required_argument, nullptr, kIgnored},
                                 {"force", no_argument, nullptr, 'f'},
                                 {"jobid", required_argument, nullptr, 'j'},
                                 {"no-allocation", optional_argument, nullptr, 'Z'},
                                 {"nodelist", optional_argument, nullptr, 'w'},
                                 {"send-libs", optional_argument, nullptr, kSendLibs},
                                 {"preserve", no_argument, nullptr, 'p'},
                                 {"size", required_argument, nullptr, 's'},
                                 {"timeout", required_argument, nullptr, 't'},
                                 {"verbose", no_argument, nullptr, 'v'},
                                 {"version", no_argument, nullptr, 'V'},
                                 {"help", no_argument, nullptr, kSites},
                                 {"usage", no_argument, nullptr, kSites},
                                 {nullptr, 0, nullptr, 0}};
  std::vector<char*> argv{const_cast<char*>("sbcast")};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  const int argc = static_cast<int>(argv.size());
  argv.push_back(nullptr);
  BroadcastOptions options;
  ::optind = 0;
  for (int found;
       (found = ::getopt_long(argc, argv.data(), "C::fF:j:ps:t:vVw:Z", kOptions, nullptr)) != -1;) {
    switch (found) {
      case '?':
        Hint("");
        return std::nullopt;
      case 'f':
        options.force = true;
        break;
      case 'p':
        options.preserve = true;
        break;
      case 'w':
        options.hosts = ::optarg != nullptr ? ::optarg : "";
        break;
      case kSendLibs:
        options.send_libs = ::optarg == nullptr || Lower(::optarg) != "no";
        break;
      case 'j':
        options.is_sites |= !IsThisJob(::optarg);
        break;
      case 'Z':
      case 'V':
      case kSites:
        options.is_sites = true;
        break;
      default:
        break;
    }
  }
  options.names.assign(argv.begin() + ::optind, argv.begin() + argc);
  return options;
}

std::string Destination(const std::string& name) {
  if (name.starts_with('/')) return name;
  constexpr std::string_view kKey = "destdir=";
  for (const std::string& item : SplitAt(SlurmSetting("BcastParameters").value_or(""), ','))
    if (Lower(item).starts_with(kKey)) return item.substr(kKey.size()) + "/" + name;
  char here[4096];
  return std::string(::getcwd(here, sizeof here) != nullptr ? here : "") + "/" + name;
}

std::string Quoted(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

// All of the job, or those named; nothing if one of these is not in it.
std::optional<std::vector<Peer>> Receivers(const std::string& hosts) {
  const auto text = ReadFile(kPeersPath);
  auto peers = text ? ParsePeers(*text) : std::unexpected(text.error());
  if (!peers) return std::nullopt;
  if (hosts.empty()) return *peers;
  const auto wanted = ExpandHosts(hosts);
  if (!wanted) return std::nullopt;
  std::vector<Peer> chosen;
  for (const std::string& host : *wanted) {
    const auto found = std::ranges::find(*peers, host, &Peer::hostname);
    if (found == peers->end()) return std::nullopt;
    chosen.push_back(*found);
  }
  return chosen;
}

Result<Process> Send(const Peer& peer, const std::string& source, const std::string& command) {
  // Each reads it from its beginning.
  HOLDFAST_TRY(const UniqueFd file, OpenFile(source, O_RDONLY));
  return Process::Spawn({.argv = {kRshPath, peer.hostname, command}, .fds = {{file.get(), 0}}});
}

// As Slurm has it: the last failure is the exit code.
int Broadcast(const std::vector<Peer>& peers, const std::string& source,
              const std::string& command) {
  std::vector<Result<Process>> sending;
  sending.reserve(peers.size());
  for (const Peer& peer : peers) sending.push_back(Send(peer, source, command));
  int code = EXIT_SUCCESS;
  for (size_t i = 0; i < peers.size(); ++i) {
    const auto ended = sending[i] ? sending[i]->Wait() : std::unexpected(sending[i].error());
    if (ended && ended->ok()) continue;
    const int error = ended && ended->signal == 0 ? ended->code : kUnspecified;
    SayAndFail("REQUEST_FILE_BCAST(" + peers[i].hostname +
               "): " + (error == kUnspecified ? "Unspecified error" : ::strerror(error)));
    code = error;
  }
  return code;
}

}  // namespace

int RunSbcast(const std::vector<std::string>& arguments) {
  const auto options = ParseBroadcast(arguments);
  if (!options) return EXIT_FAILURE;
  if (options->is_sites || ::getenv("SLURM_JOB_ID") == nullptr)
    return BecomeSite("sbcast", kSiteSbcastPath, arguments);
  if (options->names.size() != 2)
    return Hint("Need two file names, have " + std::to_string(options->names.size()) + " names\n");
  const std::string source = options->names[0], destination = Destination(options->names[1]);
  if (destination.ends_with('/')) return SayAndFail("Target filename cannot be a directory.");
  struct stat info = {};
  const UniqueFd file(::open(source.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid() || ::fstat(file.get(), &info) != 0) {
    SayAndFail("Can't open `" + source + "`: " + ::strerror(errno));
    return kUnspecified;
  }
  const auto peers = Receivers(options->hosts);
  if (!peers) {
    SayAndFail("Not all nodes in --nodelist/-w '" + options->hosts + "' are in job " +
               ::getenv("SLURM_JOB_ID") + ".");
    return kUnspecified;
  }
  if (info.st_size == 0) Tell("warning: file `" + source + "` is empty.");
  if (options->send_libs)
    SayAndFail("Ignoring --send-libs: nodes of a checkpointed job have the same libraries");
  std::string command = "exec " + std::string(kSrunPath) + " " + kReceiveFile + " " +
                        std::to_string(info.st_mode & ACCESSPERMS) + " " +
                        (options->force ? "force" : "new");
  command += options->preserve
                 ? " " + std::to_string(info.st_atime) + " " + std::to_string(info.st_mtime)
                 : " 0 0";
  return Broadcast(*peers, source, command + " " + Quoted(destination));
}

int ReceiveFile(const std::vector<std::string>& arguments) {
  if (arguments.size() != 5) return EINVAL;
  const auto mode = ParseNumber<mode_t>(arguments[0]);
  const auto accessed = ParseNumber<time_t>(arguments[2]);
  const auto modified = ParseNumber<time_t>(arguments[3]);
  if (!mode || !accessed || !modified) return EINVAL;
  const int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (arguments[1] == "force" ? O_TRUNC : O_EXCL);
  const UniqueFd file(::open(arguments[4].c_str(), flags, S_IRWXU));
  if (!file.valid()) return errno;
  std::string block(1 << 20, '\0');
  while (true) {
    const ssize_t n = ::read(STDIN_FILENO, block.data(), block.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 || (n > 0 && !WriteFull(file, AsBytes(std::string_view(block).substr(
                                                0, static_cast<size_t>(n))))))
      return kUnspecified;
    if (n == 0) break;
  }
  const timespec times[2] = {{.tv_sec = *accessed, .tv_nsec = 0},
                             {.tv_sec = *modified, .tv_nsec = 0}};
  if (::fchmod(file.get(), *mode) != 0) return kUnspecified;
  if (*accessed != 0 && ::futimens(file.get(), times) != 0) return kUnspecified;
  return EXIT_SUCCESS;
}

}  // namespace holdfast::pod
