#include "pod/launch.h"

#include <sys/stat.h>

#include "pod/fields.h"

namespace holdfast::pod {
namespace {

constexpr std::string_view kMagic = "holdfast launch 2\n";

void AddStdio(FieldWriter& writer, const Stdio& stdio) {
  writer.Add(std::string_view(stdio.path));
  writer.Add(uint64_t{stdio.append});
}

Stdio ReadStdio(FieldReader& reader) {
  Stdio stdio;
  stdio.path = reader.Text();
  stdio.append = reader.Flag();
  return stdio;
}

}  // namespace

std::string Serialize(const Launch& launch) {
  FieldWriter writer(kMagic);
  writer.Add(launch.argv);
  writer.Add(launch.environment);
  writer.Add(std::string_view(launch.script));
  writer.Add(std::string_view(launch.cwd));
  writer.Add(uint64_t{launch.umask});
  writer.Add(uint64_t{launch.limits.size()});
  for (const Limit& limit : launch.limits) {
    writer.Add(static_cast<uint64_t>(limit.resource));
    writer.Add(limit.soft);
    writer.Add(limit.hard);
  }
  AddStdio(writer, launch.input);
  AddStdio(writer, launch.output);
  AddStdio(writer, launch.error);
  writer.Add(std::string_view(launch.note));
  return writer.Take();
}

Result<Launch> ParseLaunch(std::string_view bytes) {
  FieldReader reader(bytes, kMagic);
  Launch launch;
  launch.argv = reader.Texts();
  launch.environment = reader.Texts();
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
  launch.input = ReadStdio(reader);
  launch.output = ReadStdio(reader);
  launch.error = ReadStdio(reader);
  launch.note = reader.Text();
  if (!reader.complete() || launch.argv.empty())
    return Fail(Code::kCorrupt, "the launch of the batch script is malformed");
  return launch;
}

}  // namespace holdfast::pod
