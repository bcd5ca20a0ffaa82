#include "config/config.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <array>
#include <limits>
#include <ranges>

#include "config/keys.h"

namespace holdfast::config {
namespace {

constexpr int64_t kDay = 24 * 3600;
constexpr int64_t kMiB = 1 << 20;

#define HOLDFAST_MEMBER(member) [](Config& config) -> Target { return &config.member; }

constexpr std::array kKeys = {
    Key{"coordinator", "host", Kind::kText, HOLDFAST_MEMBER(coordinator.host), 0, 0,
        "Name or address at which wardens and the command line reach the coordinator."},
    Key{"coordinator", "warden_port", Kind::kPort, HOLDFAST_MEMBER(coordinator.warden_port), 1,
        65535, "TCP port for wardens (gRPC).", Applies::kRestart},
    Key{"coordinator", "rest_port", Kind::kPort, HOLDFAST_MEMBER(coordinator.rest_port), 1, 65535,
        "TCP port of the REST API.", Applies::kRestart},
    Key{"coordinator", "user", Kind::kText, HOLDFAST_MEMBER(coordinator.user), 0, 0,
        "User that the coordinator runs as; a Slurm operator. Wardens obey no other.",
        Applies::kRestart},
    Key{"coordinator", "state_directory", Kind::kPath, HOLDFAST_MEMBER(coordinator.state_directory),
        0, 0, "Where the coordinator keeps its journal.", Applies::kRestart},
    Key{"coordinator", "poll_interval", Kind::kDuration, HOLDFAST_MEMBER(coordinator.poll_interval),
        1, 600,
        "How often the Slurm records of checkpointed jobs are read. Preemption is noticed "
        "this late where Slurm delivers no signal.",
        Applies::kReload},
    Key{"coordinator", "restore_attempts", Kind::kCount,
        HOLDFAST_MEMBER(coordinator.restore_attempts), 1, 100,
        "Restores of one checkpoint that are tried, each on other nodes, before the job is held.",
        Applies::kReload},
    Key{"coordinator", "evacuate_reason", Kind::kPattern,
        HOLDFAST_MEMBER(coordinator.evacuate_reason), 0, 0,
        "Nodes that somebody drains in Slurm with a reason in which this is found are evacuated: "
        "their jobs are saved and go on elsewhere.",
        Applies::kReload},
    Key{"coordinator", "metrics", Kind::kSwitch, HOLDFAST_MEMBER(coordinator.metrics), 0, 0,
        "Whether the REST API's port shows figures for Prometheus at `/metrics`, to anybody who "
        "reaches it: sums over all jobs, without names ([monitoring](monitoring.md)).",
        Applies::kReload},
    Key{"rest", "certificate", Kind::kPath, HOLDFAST_MEMBER(rest.certificate), 0, 0,
        "PEM file of the REST API's certificate, and of those that sign it. With it the same port "
        "speaks TLS too, to whoever begins with that. Empty: it does not.",
        Applies::kReload},
    Key{"rest", "key", Kind::kPath, HOLDFAST_MEMBER(rest.key), 0, 0,
        "PEM file of the certificate's key, which `coordinator.user` may read and not everybody.",
        Applies::kReload},
    Key{"rest", "jwt_key", Kind::kPath, HOLDFAST_MEMBER(rest.jwt_key), 0, 0,
        "Slurm's jwt_hs256.key, which `coordinator.user` may read and not everybody: tokens of "
        "`scontrol token` are accepted over TLS, and from this machine. Empty: none is.",
        Applies::kReload},
    Key{"rest", "rate", Kind::kCount, HOLDFAST_MEMBER(rest.rate), 0, 1000000,
        "How many requests a user may make in a minute; those beyond are answered with 429. `0`: "
        "as many as they like. Not for root, Slurm's user and the coordinator's.",
        Applies::kReload},
    Key{"checkpoint", "directory", Kind::kDirectory, HOLDFAST_MEMBER(checkpoint.directory), 0, 0,
        "Where checkpoints go if the job gives no `--checkpoint-dir`. On a filesystem that all "
        "nodes share; `%h` is the user's home, `%u` their name."},
    Key{"checkpoint", "keep", Kind::kCount, HOLDFAST_MEMBER(checkpoint.keep), 1, 1000,
        "Newest checkpoints kept if the job gives no `--checkpoint-keep`."},
    Key{"checkpoint", "keep_after_failure", Kind::kDuration,
        HOLDFAST_MEMBER(checkpoint.keep_after_failure), 0, 3650 * kDay,
        "How long the checkpoints of a job stay that failed, was cancelled or ran out of time; "
        "those of one that ended well go at once. Counted by the coordinator while it runs; "
        "`holdfast prune --expired` removes them.",
        Applies::kReload},
    Key{"checkpoint", "interval", Kind::kInterval, HOLDFAST_MEMBER(checkpoint.interval), 0,
        365 * kDay,
        "Time between periodic checkpoints of a job that gives `--checkpoint` without "
        "one. `0s`: none, only when one is needed. `auto`: as `--checkpoint=auto`, chosen from "
        "what the job's checkpoints cost and how often jobs are interrupted."},
    Key{"checkpoint", "auto_shortest", Kind::kDuration, HOLDFAST_MEMBER(checkpoint.auto_shortest),
        1, kDay,
        "Shortest interval that `auto` chooses, and when it makes a job's first checkpoint.",
        Applies::kReload},
    Key{"checkpoint", "auto_longest", Kind::kDuration, HOLDFAST_MEMBER(checkpoint.auto_longest), 1,
        365 * kDay, "Longest interval that `auto` chooses.", Applies::kReload},
    Key{"checkpoint", "node_lifetime", Kind::kDuration, HOLDFAST_MEMBER(checkpoint.node_lifetime),
        60, 3650 * kDay,
        "How long a node is expected to run a job before the job is preempted, its node taken back "
        "or lost. For `auto`, until the coordinator has seen more: it counts as much as one "
        "interruption.",
        Applies::kReload},
    Key{"checkpoint", "memory_budget", Kind::kSize, HOLDFAST_MEMBER(checkpoint.memory_budget_bytes),
        16 * kMiB, int64_t{1} << 40,
        "Buffers and tables that one warden may hold while it stores a checkpoint, however large "
        "the "
        "job. They count against the job's memory limit, so a warden uses less when the job has "
        "little left, and makes no checkpoint when less than 80 MiB are left."},
    Key{"checkpoint", "compression_level", Kind::kLevel,
        HOLDFAST_MEMBER(checkpoint.compression_level), 0, 19,
        "zstd level. `0`: memory is stored as it is. `auto`: compressed while that makes the "
        "checkpoint faster, as measured during it."},
    Key{"checkpoint", "encryption_key_file", Kind::kPath,
        HOLDFAST_MEMBER(checkpoint.encryption_key_file), 0, 0,
        "Encrypts checkpoints. A file of 64 hex digits a line, the same on all nodes, owned by "
        "root with mode 0400: the first line's key is used, the others still open older "
        "checkpoints."},
    Key{"checkpoint", "precopy_cpu", Kind::kCount, HOLDFAST_MEMBER(checkpoint.precopy_cpu), 0, 100,
        "Percent of the job's cores that a warden may take to store memory while the job still "
        "runs, before a checkpoint that can wait. `0`: the job is frozen at once.",
        Applies::kReload},
    Key{"checkpoint", "precopy_bandwidth", Kind::kSize,
        HOLDFAST_MEMBER(checkpoint.precopy_bandwidth_bytes), 0, int64_t{1} << 40,
        "Memory that it may read in a second. `0`: only `precopy_cpu` limits it."},
    Key{"checkpoint", "timeout", Kind::kDuration, HOLDFAST_MEMBER(checkpoint.timeout), 10, kDay,
        "Longest time one checkpoint or one restore may take before it counts as failed. A job "
        "stands "
        "still no longer than that, even if its checkpoints' file system hangs.",
        Applies::kReload},
    Key{"checkpoint", "restore", Kind::kRestore, HOLDFAST_MEMBER(checkpoint.restore), 0, 0,
        "Whether memory comes back while the job runs already, on demand and in the background "
        "(`lazy`), or before it does (`eager`). Where the kernel has no userfaultfd, or a "
        "container forbids it, it comes before, by way of files on the node's disk."},
    Key{"checkpoint", "write_tracking", Kind::kWriteTracking,
        HOLDFAST_MEMBER(checkpoint.write_tracking), 0, 0,
        "Whether a save leaves out memory that has not been written since the last one, as the "
        "kernel tells (`auto`; Linux 6.7 or later, otherwise all is read), or reads everything "
        "each time (`off`). `verify`: everything is read and compared with what the kernel tells, "
        "and the save fails if that was wrong; for tests."},
    Key{"checkpoint", "files_limit", Kind::kSize, HOLDFAST_MEMBER(checkpoint.files_limit_bytes), 0,
        int64_t{1} << 50,
        "Contents of a job's files that one checkpoint may store. A file beyond it is not stored; "
        "if it has changed at a restore, the job is held."},
    Key{"checkpoint", "files_count", Kind::kCount, HOLDFAST_MEMBER(checkpoint.files_count), 0,
        10000, "How many files of a job one checkpoint may store."},
    Key{"checkpoint", "fallback", Kind::kFallback, HOLDFAST_MEMBER(checkpoint.fallback), 0, 0,
        "What to do with a job whose nodes are taken before it was ever saved, if it gives no "
        "`--checkpoint-fallback`. `slurm`: what Slurm alone would do, which starts a job with "
        "`--requeue` over and ends one with `--no-requeue`. `hold`: it is held."},
    Key{"preemption", "cancelled_jobs", Kind::kCancelledJobs,
        HOLDFAST_MEMBER(preemption.cancelled_jobs), 0, 0,
        "What becomes of a job that Slurm ends when it preempts it (PreemptMode=CANCEL). "
        "`continue`: it is saved and requeued. `end`: it ends, as with Slurm alone.",
        Applies::kReload},
    Key{"node", "key_file", Kind::kPath, HOLDFAST_MEMBER(node.key_file), 0, 0,
        "The site key, which authenticates manifests: 64 hex digits, the same on all nodes, owned "
        "by root with mode 0400."},
    Key{"node", "log_directory", Kind::kPath, HOLDFAST_MEMBER(node.log_directory), 0, 0,
        "Logs of wardens and of CRIU, by job."},
    Key{"node", "criu", Kind::kCommand, HOLDFAST_MEMBER(node.criu), 0, 0,
        "The CRIU to run, 4.2 or newer."},
    Key{"node", "vxlan_port", Kind::kPort, HOLDFAST_MEMBER(node.vxlan_port), 1, 1023,
        "UDP port of the job networks. Privileged, so that only root can send from it."},
    Key{"node", "subnet", Kind::kSubnet, HOLDFAST_MEMBER(node.subnet), 8, 24,
        "Addresses of the pods in every job's own network. Jobs do not see each other's, so all "
        "may use the same; choose one that jobs need not reach outside."},
    Key{"node", "outside_network", Kind::kOutsideNetwork, HOLDFAST_MEMBER(node.outside_network), 0,
        0,
        "Whether jobs reach what lies outside of their own network: licence servers, Slurm, the "
        "internet. `nat`: what their user reaches from the node, by a program that runs as that "
        "user. `none`: nothing."},
    Key{"node", "closed_networks", Kind::kNetworks, HOLDFAST_MEMBER(node.closed_networks), 0, 32,
        "Networks that jobs do not reach all the same: `10.1.0.0/16,10.2.0.0/16`."},
    Key{"node", "private_directories", Kind::kPaths, HOLDFAST_MEMBER(node.private_directories), 0,
        0,
        "Directories of the node that each checkpointed job has to itself, such as "
        "`/var/tmp,/scratch`: empty when it starts, on the node's disk, moved with it, and gone "
        "when it ends. `/tmp` may be among them; otherwise it is in memory, as `/dev/shm` is. They "
        "must exist on every node."},
    Key{"node", "private_place", Kind::kPath, HOLDFAST_MEMBER(node.private_place), 0, 0,
        "Where they lie on a node: on the disk that jobs are to fill. Root's, and nobody else's to "
        "write."},
    Key{"node", "local_directories", Kind::kPaths, HOLDFAST_MEMBER(node.local_directories), 0, 0,
        "Directories of the node that all its jobs see and other nodes do not, such as a cache of "
        "data. A job that has a file open there, or works there, is not saved, because it could "
        "not go on elsewhere; it runs on, and the message names the file."},
    Key{"node", "coordinator_patience", Kind::kDuration, HOLDFAST_MEMBER(node.coordinator_patience),
        5, kDay, "How long a frozen pod waits for the coordinator's verdict before it goes on."},
    Key{"cloud", "provider", Kind::kProvider, HOLDFAST_MEMBER(cloud.provider), 0, 0,
        "Whose announcements that a node is taken back are watched for. `auto`: what the machine's "
        "firmware says, or who answers at `metadata_url`."},
    Key{"cloud", "metadata_url", Kind::kUrl, HOLDFAST_MEMBER(cloud.metadata_url), 0, 0,
        "The metadata server, instead of `http://169.254.169.254`. Asked for notices and for "
        "the machine's credentials."},
    Key{"cloud", "notice_time", Kind::kDuration, HOLDFAST_MEMBER(cloud.notice_time), 0, kDay,
        "From a notice to the end of the node, where the provider does not say when. `0s`: what it "
        "documents."},
    Key{"cloud", "endpoint", Kind::kUrl, HOLDFAST_MEMBER(cloud.endpoint), 0, 0,
        "Google Cloud Storage. Another than Google's is a private endpoint; an emulator that wants "
        "no credentials is named by `STORAGE_EMULATOR_HOST` in slurmd's environment."},
    Key{"cloud", "credentials_file", Kind::kPath, HOLDFAST_MEMBER(cloud.credentials_file), 0, 0,
        "A service account's key, owned by root with mode 0400, on every node. Without it the one "
        "that `GOOGLE_APPLICATION_CREDENTIALS` in slurmd's environment names, or the machine's own "
        "service account."},
    Key{"cloud", "s3_endpoint", Kind::kUrl, HOLDFAST_MEMBER(cloud.s3_endpoint), 0, 0,
        "An S3 server other than Amazon's, whose buckets are paths below this URL."},
    Key{"cloud", "s3_region", Kind::kText, HOLDFAST_MEMBER(cloud.s3_region), 0, 0,
        "The bucket's region, for Amazon's endpoint and for signatures. Without it `AWS_REGION` of "
        "slurmd's environment, or `us-east-1`."},
    Key{"cloud", "s3_credentials_file", Kind::kPath, HOLDFAST_MEMBER(cloud.s3_credentials_file), 0,
        0,
        "Access keys, in the form of `~/.aws/credentials`, owned by root with mode 0400, on every "
        "node. Without it those in slurmd's environment (`AWS_ACCESS_KEY_ID`, "
        "`AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, or a file named by "
        "`AWS_SHARED_CREDENTIALS_FILE`), or those of the machine's own role."},
    Key{"cloud", "s3_profile", Kind::kText, HOLDFAST_MEMBER(cloud.s3_profile), 0, 0,
        "Which profile of that file."},
    Key{"cloud", "ca_file", Kind::kPath, HOLDFAST_MEMBER(cloud.ca_file), 0, 0,
        "Certificate authorities for object stores, instead of the system's."},
    Key{"cloud", "proxy", Kind::kUrl, HOLDFAST_MEMBER(cloud.proxy), 0, 0,
        "Proxy to object stores, instead of slurmd's `https_proxy` and `no_proxy`."},
    Key{"cloud", "patience", Kind::kDuration, HOLDFAST_MEMBER(cloud.patience), 1, kDay,
        "How long a request to an object store that makes no progress is tried again."},
    Key{"cloud", "stall_timeout", Kind::kDuration, HOLDFAST_MEMBER(cloud.stall_timeout), 1, 3600,
        "A transfer that moves nothing for so long is tried again."},
};

#undef HOLDFAST_MEMBER

Result<passwd> FindUser(uid_t uid, std::string& buffer) {
  const long suggested = sysconf(_SC_GETPW_R_SIZE_MAX);
  buffer.resize(suggested > 0 ? static_cast<size_t>(suggested) : 1024);
  passwd entry{};
  passwd* found = nullptr;
  int error = 0;
  while ((error = getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found)) == ERANGE)
    buffer.resize(buffer.size() * 2);
  if (error != 0)
    return std::unexpected(Error::FromErrno(fmt::format("looking up user id {}", uid), error));
  if (found == nullptr)
    return Fail(Code::kNotFound, fmt::format("user id {} has no entry in the user database", uid));
  return entry;
}

}  // namespace

std::span<const Key> Keys() { return kKeys; }

Result<std::string> ExpandDirectory(const std::string& directory, uid_t uid) {
  std::string expanded;
  std::string buffer;
  for (size_t i = 0; i < directory.size(); ++i) {
    if (directory[i] != '%') {
      expanded += directory[i];
      continue;
    }
    const char letter = i + 1 < directory.size() ? directory[++i] : '\0';
    if (letter == '%') {
      expanded += '%';
    } else if (letter == 'h' || letter == 'u') {
      HOLDFAST_TRY(const passwd user, FindUser(uid, buffer));
      expanded += letter == 'h' ? user.pw_dir : user.pw_name;
    } else {
      return Fail(Code::kInvalid,
                  fmt::format("checkpoint directory '{}': after %, only h (home), u (user) and % "
                              "are accepted",
                              directory));
    }
  }
  return expanded;
}

std::vector<std::string> ListOf(std::string_view paths) {
  std::vector<std::string> list;
  if (paths == kNoPaths) return list;
  for (const auto& path : std::views::split(paths, ',')) list.emplace_back(std::string_view(path));
  return list;
}

}  // namespace holdfast::config
