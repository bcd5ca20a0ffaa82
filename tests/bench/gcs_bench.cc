// Cloud Storage at its limits, against the fake server with its network slowed down: whether
// several uploads at a time fill the link, each connection being slower than it, and how often a
// large upload sends its bytes when the connection keeps breaking.
//
//   gcs_bench [--json] [--size MIB] [--connection MB/S] [--link MB/S]
//
// The server is in this process, on the loopback interface. What a broken connection still had in
// the kernel's buffers is not counted as sent: the server never saw it.

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "storage/gcs/gcs_backend.h"
#include "tests/bench/figures.h"
#include "tests/bench/options.h"
#include "tests/fakes/gcs_server.h"

namespace holdfast::storage::gcs {
namespace {

using bench::Die;
using bench::Figure;
using bench::Must;
using Clock = std::chrono::steady_clock;
using fakes::GcsServer;

constexpr double kMB = 1e6;
constexpr size_t kMiB = 1 << 20;
// What each stream uploads in the measurement of throughput: long against the start of a transfer.
constexpr size_t kStreamBytes = 48 * kMiB;
// Of all that comes, whoever sends it.
constexpr uint64_t kDropEvery = 50'000'000;
// What a server may have received and yet not kept when the connection broke.
constexpr int64_t kForgotten = 4 * kMiB;

struct Options {
  bool json = false;
  size_t size_bytes = 1ULL << 30;
  double connection_mb = 12;
  double link_mb = 60;
};

class Bench {
 public:
  explicit Bench(const Options& options) : options_(options), data_(8 * kMiB) {
    std::mt19937_64 random(1);
    for (std::byte& byte : data_) byte = static_cast<std::byte>(random());
    ::setenv("STORAGE_EMULATOR_HOST", server_.url().c_str(), 1);
    backend_ = Must(MakeGcsBackend("gs://bucket/bench", "1", {}));
  }

  std::vector<Figure> Measure() {
    std::vector<Figure> figures;
    for (const unsigned streams : {1U, 2U, 4U, 8U}) figures.push_back(Throughput(streams));
    figures.push_back(Read());
    figures.push_back(Drops("dropped every 50 MB", 0));
    figures.push_back(Drops("the same, 4 MiB lost each time", kForgotten));
    return figures;
  }

 private:
  void Upload(const std::string& key, size_t size_bytes) {
    const auto writer = Must(backend_->Create(key));
    for (size_t left = size_bytes; left > 0;) {
      const size_t piece = std::min(left, data_.size());
      Must(writer->Append(std::span(data_).first(piece)));
      left -= piece;
    }
    Must(writer->Finish());
  }

  GcsServer::Faults Throttled() const {
    return {.connection_bytes_per_second = static_cast<uint64_t>(options_.connection_mb * kMB),
            .link_bytes_per_second = static_cast<uint64_t>(options_.link_mb * kMB)};
  }

  std::string LinkCommand() const {
    return fmt::format("a server that lets through {} MB/s a connection, {} MB/s altogether",
                       options_.connection_mb, options_.link_mb);
  }

  Figure Throughput(unsigned streams) {
    server_.SetFaults(Throttled());
    const uint64_t before = server_.stats().upload_bytes;
    const auto begin = Clock::now();
    // While all of them are at work.
    double bytes = 0, seconds = 0;
    std::once_flag first;
    const auto note = [&] {
      seconds = std::chrono::duration<double>(Clock::now() - begin).count();
      bytes = static_cast<double>(server_.stats().upload_bytes - before);
    };
    {
      std::vector<std::jthread> uploads;
      for (unsigned i = 0; i < streams; ++i)
        uploads.emplace_back([&, i] {
          Upload(fmt::format("stream-{}", i), kStreamBytes);
          std::call_once(first, note);
        });
    }
    server_.SetFaults({});
    for (unsigned i = 0; i < streams; ++i) Must(backend_->Delete(fmt::format("stream-{}", i)));
    return {
        .name = fmt::format("uploads, {} at a time, against what the link lets through", streams),
        .ours = bytes / kMB / seconds,
        .theirs = std::min(streams * options_.connection_mb, options_.link_mb),
        .unit = "MB/s",
        .target = 0.85,
        .higher_is_better = true,
        .ours_command = fmt::format("{} objects of {} MiB written at the same time", streams,
                                    kStreamBytes / kMiB),
        .theirs_command = LinkCommand()};
  }

  // One object from its beginning to its end.
  Figure Read() {
    Upload("read", 2 * kStreamBytes);
    server_.SetFaults(Throttled());
    const auto begin = Clock::now();
    const auto reader = Must(backend_->Open("read"));
    std::vector<std::byte> piece(kMiB);
    for (uint64_t at = 0; at < reader->size_bytes(); at += piece.size())
      Must(reader->ReadAt(at, piece));
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    server_.SetFaults({});
    Must(backend_->Delete("read"));
    return {.name = "one object read in order, against a single connection",
            .ours = static_cast<double>(2 * kStreamBytes) / kMB / seconds,
            .theirs = options_.connection_mb,
            .unit = "MB/s",
            .target = 2,
            .higher_is_better = true,
            .ours_command = "an object read in order, a MiB at a time",
            .theirs_command = LinkCommand()};
  }

  Figure Drops(const std::string& how, int64_t lag_bytes) {
    server_.SetFaults({.drop_upload_every = kDropEvery, .lag_bytes = lag_bytes});
    const uint64_t before = server_.stats().upload_bytes;
    const std::string key = lag_bytes == 0 ? "large" : "larger";
    Upload(key, options_.size_bytes);
    const uint64_t sent = server_.stats().upload_bytes - before;
    server_.SetFaults({});
    if (Must(backend_->Open(key))->size_bytes() != options_.size_bytes)
      Die(Error(Code::kInternal, "what was stored is not as long as what was sent"));
    Must(backend_->Delete(key));
    return {.name = fmt::format("{} MiB over a connection {}: bytes sent",
                                options_.size_bytes / kMiB, how),
            .ours = static_cast<double>(sent) / kMB,
            .theirs = static_cast<double>(options_.size_bytes) / kMB,
            .unit = "MB",
            .target = 1.2,
            .ours_command = "bytes of upload that reached the server",
            .theirs_command = "bytes of the object"};
  }

  const Options options_;
  std::vector<std::byte> data_;
  GcsServer server_;
  std::unique_ptr<Backend> backend_;
};

Options Parse(int argc, char** argv) {
  Options options;
  bench::OptionParser parser("Uploads to a server that is throttled.", options.json,
                             options.size_bytes);
  parser.add_option("--connection", options.connection_mb, "MB/s of each connection");
  parser.add_option("--link", options.link_mb, "MB/s altogether");
  parser.ParseOrExit(argc, argv);
  return options;
}

}  // namespace
}  // namespace holdfast::storage::gcs

int main(int argc, char** argv) {
  using namespace holdfast::storage::gcs;
  const Options options = Parse(argc, argv);
  if (!options.json)
    fmt::print("{} MB/s a connection, {} MB/s altogether\n", options.connection_mb,
               options.link_mb);
  holdfast::bench::Print(Bench(options).Measure(), options.json);
}
