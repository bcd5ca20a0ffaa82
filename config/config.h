// The site's settings, /etc/holdfast/holdfast.yaml. Read by the coordinator and by wardens; one
// table in config.cc gives every key its type, unit, default and documentation.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/duration.h"
#include "base/result.h"

namespace holdfast::config {

// A number that Holdfast finds by itself; written `auto`.
inline constexpr int kAutomatic = -1;

inline constexpr const char* kDefaultPath = "/etc/holdfast/holdfast.yaml";

// Section `cloud`: notices, and what storage/ takes for its object stores.
struct Cloud {
  std::string provider = "auto";        // whose notices wardens watch for; or none, gce, aws, azure
  std::string metadata_url;             // empty: the provider's own
  std::chrono::seconds notice_time{0};  // from a notice to the end; 0: what the provider documents
  std::string endpoint = "https://storage.googleapis.com";
  // A service account's key; empty: GOOGLE_APPLICATION_CREDENTIALS, or the machine's own.
  std::string credentials_file;
  std::string s3_endpoint;                 // empty: Amazon's in the region
  std::string s3_region;                   // empty: AWS_REGION, or us-east-1
  std::string s3_credentials_file;         // empty: the environment's, the machine's own
  std::string s3_profile = "default";      // of that file
  std::string ca_file;                     // empty: the system's authorities
  std::string proxy;                       // empty: as the environment says
  std::chrono::seconds patience{120};      // of an operation that makes no progress
  std::chrono::seconds stall_timeout{20};  // of one transfer that moves nothing
};

struct Config {
  struct {
    std::string host = "localhost";  // where wardens and the command line reach it
    uint16_t warden_port = 6828;
    uint16_t rest_port = 6829;
    std::string user = "holdfast";  // whom it runs as: wardens accept no other
    std::string state_directory = "/var/lib/holdfast";
    std::chrono::seconds poll_interval{2};  // of tracked jobs' Slurm records (PreemptTime)
    uint32_t restore_attempts = 3;          // on different nodes, before the job is held
    // A regular expression over the reasons of drained nodes; empty: none is evacuated.
    std::string evacuate_reason;
    std::string metrics = "on";  // or off: whether anybody may see /metrics
  } coordinator;
  struct {
    std::string certificate;  // both empty: no TLS
    std::string key;
    std::string jwt_key;  // of Slurm's auth/jwt; empty: no tokens
    uint32_t rate = 1200;
  } rest;
  struct {
    std::string directory = "%h/.holdfast";  // default for --checkpoint-dir; %h home, %u user
    uint32_t keep = 2;                       // default for --checkpoint-keep
    std::chrono::seconds keep_after_failure{7 * 24 * 3600};  // of a job that did not end well
    Interval interval;  // default for --checkpoint without a time; 0: only when needed
    std::chrono::seconds auto_shortest{120};  // bounds of an interval that is chosen
    std::chrono::seconds auto_longest{7200};
    std::chrono::seconds node_lifetime{7 * 24 * 3600};  // coordinator/planning.h
    uint64_t memory_budget_bytes = 256ULL << 20;        // buffers and tables of one warden
    int compression_level = 1;                          // zstd; 0 stores as is, or kAutomatic
    std::string encryption_key_file;                    // empty: nothing is encrypted
    uint32_t precopy_cpu = 10;                 // percent of the job's cores; 0: no pre-copy
    uint64_t precopy_bandwidth_bytes = 0;      // of memory, each second; 0: no limit
    std::chrono::seconds timeout{600};         // for one checkpoint or restore
    std::string restore = "lazy";              // memory comes while the job runs; or eager, before
    std::string write_tracking = "auto";       // or off, or verify
    uint64_t files_limit_bytes = 64ULL << 30;  // of files' contents in one checkpoint
    uint32_t files_count = 10000;              // that one checkpoint may store
    std::string fallback = "slurm";            // default for --checkpoint-fallback
  } checkpoint;
  struct {
    std::string cancelled_jobs = "continue";  // what becomes of those that end as PREEMPTED; or end
  } preemption;
  struct {
    std::string key_file = "/etc/holdfast/site.key";
    std::string log_directory = "/var/log/holdfast";
    std::string criu = "criu";
    uint16_t vxlan_port = 829;             // privileged: only root can send to or from it
    std::string subnet = "198.18.0.0/16";  // of every job's own network (RFC 2544: never routed)
    std::string outside_network = "nat";   // or none
    std::string closed_networks;           // that pods are refused: A.B.C.D/N, with commas
    std::string private_directories = "/var/tmp";  // each job's own: ListOf tells them
    std::string private_place = "/var/spool/holdfast";
    std::string local_directories = "none";  // of the node alone: ListOf tells them
    // How long a frozen pod waits for a verdict before it resumes.
    std::chrono::seconds coordinator_patience{120};
  } node;
  Cloud cloud;
};

// All problems at once, each as "FILE:LINE:COLUMN: what, and what is accepted". A missing file is
// an error.
Result<Config> Load(const std::string& path);
// The paths in a setting that has several.
std::vector<std::string> ListOf(std::string_view paths);
// "%h/x" -> "/home/alice/x" for that user.
Result<std::string> ExpandDirectory(const std::string& directory, uid_t uid);

// When a changed value counts.
enum class Applies {
  kToJobs,   // for jobs that start from then on: their wardens read the file; so does the command
             // line
  kReload,   // once the coordinator has been told to read the file again
  kRestart,  // once the coordinator has been started anew
};

struct Setting {
  std::string name;  // "checkpoint.keep"
  std::string preset;
  std::string accepted;
  std::string meaning;
  Applies applies;
};
// All there are, in the file's order.
std::vector<Setting> Settings();
const char* AppliesName(Applies applies);

struct Change {
  std::string name;
  std::string before;
  std::string after;
  Applies applies;
};
std::vector<Change> Compare(const Config& before, const Config& after);
// What a coordinator that runs with one goes by once it has read another.
Config Reloaded(const Config& running, const Config& read);

// The reference of all keys, as Markdown, and for a terminal.
std::string Reference();
std::string ReferenceText();

}  // namespace holdfast::config
