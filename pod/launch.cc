#include "pod/launch.h"

#include <sys/stat.h>

#include <bit>
#include <cstring>
#include <optional>

namespace holdfast::pod {
namespace {

static_assert(std::endian::native == std::endian::little);

// Every field in the order of the struct: numbers as 8 bytes, little-endian; strings and lists
// behind their length.
constexpr std::string_view kMagic = "holdfast launch 2\n";

class Writer {
 public:
  void Add(uint64_t number) {
    char bytes[sizeof number];
    std::memcpy(bytes, &number, sizeof number);
    out_.append(bytes, sizeof bytes);
  }
  void Add(std::string_view text) {
    Add(text.size());
    out_.append(text);
  }
  void Add(const std::vector<std::string>& list) {
    Add(list.size());
    for (const std::string& item : list) Add(std::string_view(item));
  }
  void Add(const Stdio& stdio) {
    Add(std::string_view(stdio.path));
    Add(uint64_t{stdio.append});
  }
  std::string Take() { return std::move(out_); }

 private:
  std::string out_{kMagic};
};

// After the first thing that does not fit, failed() stays true and everything reads as empty.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {
    failed_ = !rest_.starts_with(kMagic);
    if (!failed_) rest_.remove_prefix(kMagic.size());
  }
  bool failed() const { return failed_; }
  bool at_end() const { return rest_.empty(); }

  uint64_t Number(uint64_t max = UINT64_MAX) {
    uint64_t number = 0;
    const std::string_view bytes = Take(sizeof number);
    if (!failed_) std::memcpy(&number, bytes.data(), sizeof number);
    if (number > max) failed_ = true;
    return failed_ ? 0 : number;
  }
  std::string Text() { return std::string(Take(Number())); }
  std::vector<std::string> List() {
    std::vector<std::string> list;
    for (uint64_t left = Number(); left > 0 && !failed_; --left) list.push_back(Text());
    return list;
  }
  Stdio ReadStdio() {
    Stdio stdio;
    stdio.path = Text();
    stdio.append = Number(1) != 0;
    return stdio;
  }

 private:
  std::string_view Take(uint64_t size) {
    if (failed_ || size > rest_.size()) {
      failed_ = true;
      return {};
    }
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }

  std::string_view rest_;
  bool failed_ = false;
};

}  // namespace

std::string Serialize(const Launch& launch) {
  Writer writer;
  writer.Add(launch.argv);
  writer.Add(launch.environment);
  writer.Add(std::string_view(launch.script));
  writer.Add(std::string_view(launch.cwd));
  writer.Add(uint64_t{launch.umask});
  writer.Add(launch.limits.size());
  for (const Limit& limit : launch.limits) {
    writer.Add(static_cast<uint64_t>(limit.resource));
    writer.Add(limit.soft);
    writer.Add(limit.hard);
  }
  writer.Add(launch.input);
  writer.Add(launch.output);
  writer.Add(launch.error);
  writer.Add(std::string_view(launch.note));
  return writer.Take();
}

Result<Launch> ParseLaunch(std::string_view bytes) {
  Reader reader(bytes);
  Launch launch;
  launch.argv = reader.List();
  launch.environment = reader.List();
  launch.script = reader.Text();
  launch.cwd = reader.Text();
  launch.umask = static_cast<mode_t>(reader.Number(ACCESSPERMS));
  for (uint64_t left = reader.Number(RLIM_NLIMITS); left > 0 && !reader.failed(); --left) {
    Limit limit;
    limit.resource = static_cast<int>(reader.Number(RLIM_NLIMITS - 1));
    limit.soft = reader.Number();
    limit.hard = reader.Number();
    launch.limits.push_back(limit);
  }
  launch.input = reader.ReadStdio();
  launch.output = reader.ReadStdio();
  launch.error = reader.ReadStdio();
  launch.note = reader.Text();
  if (reader.failed() || !reader.at_end() || launch.argv.empty())
    return Fail(Code::kCorrupt, "the launch of the batch script is malformed");
  return launch;
}

}  // namespace holdfast::pod
