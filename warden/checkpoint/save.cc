// How a pod is saved:
//
//   1. CRIU freezes all tasks and writes everything but their memory ("lazy pages") into a
//      directory that only lives in memory, then offers to serve the memory. From here on tasks are
//      frozen until the session ends. --leave-running, always: then every way in which it can end
//      (an orderly one, a broken connection, the death of CRIU) lets the tasks go on unharmed.
//   2. Meanwhile Holdfast reads memory itself, in parallel (warden/memory/frozen_memory.h), copies
//      CRIU's images and the pod's private files (warden/files/scratch.h), and notes what the open
//      files are like.
//   3. Resume ends the session. To stop the tasks instead, the pod is killed while it is frozen.
//
// If CRIU cannot do it that way ("plain" dump), it writes memory too, and is held at its post-dump
// stage instead.
#include "warden/checkpoint/save.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <optional>
#include <utility>

#include "base/duration.h"
#include "base/files.h"
#include "base/log.h"
#include "base/parallel.h"
#include "warden/attributes/attributes.h"
#include "warden/checkpoint/preflight.h"
#include "warden/criu/accept_queues.h"
#include "warden/criu/criu.h"
#include "warden/criu/dump_check.h"
#include "warden/criu/dump_refusal.h"
#include "warden/criu/images.h"
#include "warden/criu/known_waits.h"
#include "warden/criu/node_connections.h"
#include "warden/criu/orphans.h"
#include "warden/criu/terminals.h"
#include "warden/criu/tracking_socket.h"
#include "warden/criu/unrestorable.h"
#include "warden/criu/unseen.h"
#include "warden/criu/watches.h"
#include "warden/files/check.h"
#include "warden/files/gone_names.h"
#include "warden/files/lent_names.h"
#include "warden/files/scratch.h"
#include "warden/isolation/affinity.h"
#include "warden/isolation/clocks.h"
#include "warden/memory/frozen_memory.h"

namespace holdfast::warden {
namespace {

using Clock = Criu::Clock;

// Larger images of what only CRIU reads (deleted files, what pipes hold) are stored as streams.
constexpr off_t kLargestSmallImage = 1 << 20;
// None that Holdfast reads comes near it: a million open files make 100 MiB.
constexpr off_t kLargestImage = 256 << 20;

// The page server's protocol (criu/page-xfer.c of CRIU 4.2), of which only the farewell is used.
struct PageServerCommand {
  uint32_t command = 0x1023;  // PS_IOV_CLOSE
  uint64_t pages = 0, address = 0, id = 0;
};
static_assert(sizeof(PageServerCommand) == 32);

// A directory of the owner's in memory that no path leads to; gone when it is closed.
Result<UniqueFd> MemoryDirectory(const Identity& owner) {
  const std::string uid = std::to_string(owner.uid), gid = std::to_string(owner.gid);
  const UniqueFd context(::fsopen("tmpfs", FSOPEN_CLOEXEC));
  if (!context.valid()) return FailErrno("making a directory in memory");
  if (::fsconfig(context.get(), FSCONFIG_SET_STRING, "mode", "0700", 0) != 0 ||
      ::fsconfig(context.get(), FSCONFIG_SET_STRING, "uid", uid.c_str(), 0) != 0 ||
      ::fsconfig(context.get(), FSCONFIG_SET_STRING, "gid", gid.c_str(), 0) != 0 ||
      ::fsconfig(context.get(), FSCONFIG_SET_STRING, "size", "100%", 0) != 0 ||
      ::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
    return FailErrno("making a directory in memory");
  const UniqueFd mounted(::fsmount(context.get(), FSMOUNT_CLOEXEC, 0));
  if (!mounted.valid()) return FailErrno("making a directory in memory");
  // What fsmount returns is a path descriptor; listing needs an open one.
  return OpenFile("/proc/self/fd/" + std::to_string(mounted.get()), O_RDONLY | O_DIRECTORY);
}

class Dump final : public FrozenPod {
 public:
  Dump(LentNames names, Criu criu, UniqueFd images, UniqueFd unseen,
       std::optional<UniqueFd> page_socket)
      : names_(std::in_place, std::move(names)),
        criu_(std::move(criu)),
        images_(std::move(images)),
        unseen_(std::move(unseen)),
        page_socket_(std::move(page_socket)) {}

  Status Resume() override {
    names_.reset();
    if (page_socket_) {
      // If CRIU is gone, Finish says so.
      const PageServerCommand close;
      ::send(page_socket_->get(), &close, sizeof close, MSG_NOSIGNAL);
    }
    Status finished = criu_.Finish();
    if (finished) return {};
    return std::unexpected(std::move(finished).error().Wrap("letting the processes go on"));
  }

  Status StillFrozen() const override {
    if (criu_.Alive()) return {};
    return Fail(Code::kUnavailable, "CRIU was killed while the processes were being saved");
  }

  const UniqueFd& images() const { return images_; }
  // What CRIU's library has found within the processes.
  const UniqueFd& unseen() const { return unseen_; }
  const std::vector<storage::FileRecord>& files() const override { return files_; }
  void SetFiles(std::vector<storage::FileRecord> files) { files_ = std::move(files); }

  const std::map<std::string, std::string>& names() const { return names_->saved_as(); }

 private:
  std::optional<LentNames> names_;
  Criu criu_;
  UniqueFd images_, unseen_;
  std::optional<UniqueFd> page_socket_;
  std::vector<storage::FileRecord> files_;
};

Result<std::unique_ptr<Dump>> Freeze(const Pod& pod, const SaveOptions& options, bool lazy) {
  HOLDFAST_TRY(UniqueFd images, MemoryDirectory(pod.options().owner));
  UniqueFd unseen(::memfd_create("holdfast-unseen", MFD_CLOEXEC));
  if (!unseen.valid()) return FailErrno("making a file in memory");
  CriuRun run{.program = options.criu,
              .log_path = options.log_directory + "/dump.log",
              .images = &images,
              .preload = options.criu_preload,
              .preload_fds = {{options.waits->get(), kWaitsFd}, {unseen.get(), kUnseenFd}},
              .may_go_on = options.may_go_on};
  UniqueFd tracking_end;
  if (options.tracking && lazy) {
    auto tracking = options.tracking->Begin();
    if (tracking) {
      tracking_end = *std::move(tracking);
      run.preload_fds.emplace_back(tracking_end.get(), kTrackingFd);
      run.preload_environment.push_back(std::string(kTrackingVariable) + "=1");
    } else {
      log::Failure("write-tracking", tracking.error());
    }
  }
  std::optional<std::pair<UniqueFd, UniqueFd>> pages;
  if (lazy) {
    HOLDFAST_TRY(pages, MakeSocketPair(SOCK_STREAM));
    run.page_socket = &pages->second;
  }
  rpc::criu_req request;
  request.set_type(rpc::DUMP);
  *request.mutable_opts() = CommonOptions();
  request.mutable_opts()->set_pid(pod.root_pid());
  request.mutable_opts()->set_leave_running(true);
  request.mutable_opts()->set_lazy_pages(lazy);
  // The library makes nothing of it.
  request.mutable_opts()->set_link_remap(true);
  HOLDFAST_TRY(LentNames names, LentNames::Lend(pod));
  HOLDFAST_TRY(const auto watched, WatchedPaths(pod));
  for (const std::string& path : watched) request.mutable_opts()->add_irmap_scan_paths(path);
  request.mutable_opts()->add_external(kEveryUnixSocket);
  request.mutable_opts()->set_timeout(static_cast<uint32_t>(options.timeout.count()));
  HOLDFAST_TRY(Criu criu, Criu::Start(pod, run, request, Clock::now() + options.timeout));
  HOLDFAST_CHECK(criu.WaitForStage("pre-dump"));
  HOLDFAST_CHECK(criu.CheckPreload(run));
  HOLDFAST_CHECK(criu.WaitForStage(lazy ? "status-ready" : "post-dump"));
  if (tracking_end.valid()) options.tracking->Receive(pod.proc_path());
  std::optional<UniqueFd> page_socket;
  if (pages) page_socket = std::move(pages->first);
  return std::make_unique<Dump>(std::move(names), std::move(criu), std::move(images),
                                std::move(unseen), std::move(page_socket));
}

// Whether CRIU refused because of how it was asked to treat memory, not because of the processes.
bool IsAboutLazyPages(const Error& error) {
  return error.message().find("uffd") != std::string::npos ||
         error.message().find("userfaultfd") != std::string::npos ||
         error.message().find("azy pages") != std::string::npos;
}

Result<std::unique_ptr<Dump>> FreezeEitherWay(const Pod& pod, const SaveOptions& options,
                                              const EventSink& events) {
  const auto begin = Clock::now();
  auto frozen = Freeze(pod, options, true);
  if (!frozen && IsAboutLazyPages(frozen.error())) {
    const std::string why = frozen.error().message();
    frozen = Freeze(pod, options, false);
    if (frozen) events("plain-dump", Clock::now() - begin, why);
  }
  if (frozen) return frozen;
  const Error& error = frozen.error();
  return std::unexpected(
      Error(error.code(), error.message() + ExplainRefusal(pod, error.message())));
}

// Whoever connects shortly before the freeze is found by CRIU.
Result<std::unique_ptr<Dump>> FreezeWhenAccepted(const Pod& pod, const SaveOptions& options,
                                                 const EventSink& events) {
  while (true) {
    HOLDFAST_CHECK(AwaitAccepts(pod, options.accepts_until, options.may_go_on));
    auto frozen = FreezeEitherWay(pod, options, events);
    const bool passes =
        !frozen && (IsAboutAccepts(frozen.error()) || IsAboutNewConnection(frozen.error()));
    if (!passes || Clock::now() >= options.accepts_until) return frozen;
  }
}

Status SaveImage(const UniqueFd& images, const std::string& name, storage::PodWriter& writer,
                 unsigned threads) {
  HOLDFAST_TRY(const UniqueFd file, OpenAt(images, name, O_RDONLY));
  struct stat info = {};
  if (::fstat(file.get(), &info) != 0) return FailErrno("looking at " + name);
  if (IsInspected(name) && info.st_size > kLargestImage)
    return Fail(Code::kUnsupported, name + " has " + std::to_string(info.st_size) +
                                        " bytes: the job has too many processes or open files");
  if (IsInspected(name) || info.st_size <= kLargestSmallImage) {
    HOLDFAST_TRY(const std::string contents, ReadAll(file));
    return writer.AddImage(name, contents);
  }
  const auto size = static_cast<uint64_t>(info.st_size);
  HOLDFAST_TRY(const uint32_t stream, writer.AddStream(name));
  HOLDFAST_CHECK(writer.SetSize(stream, size));
  const size_t pieces = (size + storage::kExtentBytes - 1) / storage::kExtentBytes;
  return ForEachParallel(threads, pieces, [&](size_t i) -> Status {
    static thread_local std::vector<std::byte> buffer(storage::kExtentBytes);
    const uint64_t offset = i * storage::kExtentBytes;
    const auto data = std::span(buffer).first(std::min(storage::kExtentBytes, size - offset));
    HOLDFAST_CHECK(ReadFullAt(file, data, offset));
    return writer.Put(stream, offset, data);
  });
}

template <class Record>
Result<std::vector<Record>> LoadImage(const UniqueFd& images, const std::string& name,
                                      ImageMagic magic) {
  const auto file = OpenAt(images, name, O_RDONLY);
  if (!file && file.error().errno_value() == ENOENT) return std::vector<Record>{};
  if (!file) return std::unexpected(file.error());
  HOLDFAST_TRY(const std::string contents, ReadAll(*file));
  return ParseImage<Record>(name, contents, magic);
}

constexpr const char* kFilesImage = "files.img";
constexpr const char* kRemapsImage = "remap-fpath.img";

// With the names that files have, and not those that CRIU would have given them, and no connection
// to the node's daemons.
Result<FileImages> LoadFileImages(const Pod& pod, const UniqueFd& images) {
  FileImages loaded;
  HOLDFAST_TRY(loaded.files, LoadImage<image::file_entry>(images, kFilesImage, ImageMagic::kFiles));
  HOLDFAST_TRY(loaded.remaps, LoadImage<image::remap_file_path_entry>(images, kRemapsImage,
                                                                      ImageMagic::kRemapPath));
  HOLDFAST_CHECK(UseOtherNames(pod, loaded));
  EndNodeConnections(loaded.files);
  return loaded;
}

// With the names that lent ones are saved as.
Status SaveFileImages(const Dump& dump, FileImages files, storage::PodWriter& writer) {
  std::vector<const google::protobuf::MessageLite*> records, remaps;
  for (image::file_entry& file : files.files) {
    const auto name = dump.names().find(file.reg().name());
    if (file.has_reg() && name != dump.names().end()) file.mutable_reg()->set_name(name->second);
    records.push_back(&file);
  }
  for (const image::remap_file_path_entry& remap : files.remaps) remaps.push_back(&remap);
  HOLDFAST_CHECK(writer.AddImage(kRemapsImage, SerializeImage(ImageMagic::kRemapPath, remaps)));
  return writer.AddImage(kFilesImage, SerializeImage(ImageMagic::kFiles, records));
}

Status SaveImages(const Dump& dump, storage::PodWriter& writer, unsigned threads) {
  const UniqueFd& images = dump.images();
  HOLDFAST_TRY(const auto names, ListDirectory("/proc/self/fd/" + std::to_string(images.get())));
  for (const std::string& name : names)
    if (name.ends_with(".img") && !name.starts_with("pages-") && !name.starts_with("pagemap-") &&
        name != kFilesImage && name != kRemapsImage)
      HOLDFAST_CHECK(SaveImage(images, name, writer, threads));
  return {};
}

Status SaveFileRecords(const Pod& pod, Dump& dump, const FileImages& images,
                       storage::PodWriter& writer, const SaveOptions& options) {
  HOLDFAST_CHECK(CheckReopening(pod, images.files, images.remaps, options.local_directories));
  HOLDFAST_TRY(auto records, RecordFiles(pod, images.files, images.remaps, options.output_paths));
  for (const storage::FileRecord& record : records) writer.AddFile(record);
  dump.SetFiles(std::move(records));
  return {};
}

void SaveInfo(const Pod& pod, size_t processes, storage::PodWriter& writer,
              const CriuVersion& version, Attributes attributes) {
  attributes.merge(DescribeNode(version));
  char node[256] = {};
  ::gethostname(node, sizeof node - 1);
  writer.SetInfo({.pod = pod.options().index,
                  .node = node,
                  .hostname = pod.options().hostname,
                  .owner = pod.options().owner,
                  .processes = static_cast<uint32_t>(processes),
                  .root_pid = static_cast<uint32_t>(pod.root_pid()),
                  .attributes = std::move(attributes)});
}

std::string Describe(const SavedMemory& memory) {
  const std::string size = FormatBytes(memory.size_bytes);
  if (memory.unwritten_bytes == 0) return size;
  return size + ", " + FormatBytes(memory.unwritten_bytes) + " of it not written since";
}

// Returns how many processes there are.
Result<size_t> SaveContents(const Pod& pod, Dump& dump, storage::PodWriter& writer,
                            const SaveOptions& options, const EventSink& events) {
  const UniqueFd& images = dump.images();
  HOLDFAST_TRY(const auto processes,
               LoadImage<image::pstree_entry>(images, kPstreeImage, ImageMagic::kPstree));
  HOLDFAST_TRY(const FileImages files, LoadFileImages(pod, images));
  HOLDFAST_CHECK(CheckRestorable(files.files, processes));
  HOLDFAST_CHECK(CheckOrphans(processes));
  HOLDFAST_CHECK(SaveFileRecords(pod, dump, files, writer, options));
  auto begin = Clock::now();
  HOLDFAST_TRY(const SavedMemory memory, SaveMemory(pod, images, writer, options.threads,
                                                    options.tracking, options.checkpoint));
  events("memory", Clock::now() - begin, Describe(memory));
  begin = Clock::now();
  HOLDFAST_TRY(const uint64_t scratch_bytes,
               SaveScratch(pod, dump.names(), writer, options.threads));
  events("scratch", Clock::now() - begin, FormatBytes(scratch_bytes));
  HOLDFAST_CHECK(SaveImages(dump, writer, options.threads));
  HOLDFAST_CHECK(SaveFileImages(dump, files, writer));
  HOLDFAST_TRY(const std::string bindings, DescribeBindings(pod));
  HOLDFAST_CHECK(writer.AddImage(kBindingsImage, bindings));
  HOLDFAST_TRY(const std::string unseen,
               ReadFile("/proc/self/fd/" + std::to_string(dump.unseen().get())));
  HOLDFAST_TRY(const std::string attributes, DescribeAttributes(pod, unseen));
  HOLDFAST_CHECK(writer.AddImage(kAttributesImage, attributes));
  HOLDFAST_TRY(const std::string terminals, SaveTerminals(pod));
  if (!terminals.empty()) HOLDFAST_CHECK(writer.AddImage(kTerminalsImage, terminals));
  return processes.size();
}

}  // namespace

Result<std::unique_ptr<FrozenPod>> FrozenPod::Save(const Pod& pod, storage::PodWriter& writer,
                                                   const SaveOptions& options,
                                                   const EventSink& events) {
  const auto save = [&]() -> Result<std::unique_ptr<FrozenPod>> {
    HOLDFAST_TRY(const CriuVersion version, FindCriu(options.criu));
    HOLDFAST_CHECK(MakeDirectories(options.log_directory, 0700));
    HOLDFAST_CHECK(CheckProcesses(pod));
    const auto begin = Clock::now();
    HOLDFAST_TRY(std::unique_ptr<Dump> frozen, FreezeWhenAccepted(pod, options, events));
    events("frozen", Clock::now() - begin, "");
    auto clocks = DescribeClocks(pod);
    const auto processes = SaveContents(pod, *frozen, writer, options, events);
    Status status = processes.transform([](size_t) {});
    if (status && !clocks) status = std::unexpected(std::move(clocks).error());
    if (status) SaveInfo(pod, *processes, writer, version, *std::move(clocks));
    // Last: all that has been read is of one moment. If not, that is also why anything else failed.
    if (Status still = frozen->StillFrozen(); !still) status = std::move(still);
    if (status) return frozen;
    if (const Status resumed = frozen->Resume(); !resumed)
      log::Failure("resume after a failed save", resumed.error());
    return std::unexpected(std::move(status).error());
  };
  return save().transform_error([&](Error error) {
    return std::move(error).Wrap("saving pod " + std::to_string(pod.options().index));
  });
}

}  // namespace holdfast::warden
