// How a pod is brought back:
//
//   1. CompareNodes      may this node run it?
//   2. LoadImages        CRIU's images, each verified by storage, none asking for rights that the
//                        job's user does not have, into a directory that only root can reach.
//                        Which memory is to come later (warden/memory/restore_memory.h)
//   3. RestoreScratch    private files, as the user
//   4. PutBackFiles,     the job's files are as they were, or are put back;
//      CheckOpenFiles    programs and libraries are the same
//   5. LoadMemory        pages into the same directory, but for those
//   6. CRIU              builds the processes and stays at its post-restore stage: all is there
//                        but lazy memory, which begins to come (warden/memory/lazy_memory.h) and is
//                        waited for unless they may run without; every task waits in CRIU's own
//                        code. If the warden dies now, they never run.
//   7. CompareFiles      all that they have open is what they had (warden/criu/comparison.h)
//      RestoreTerminals  what was queued in them (warden/criu/terminals.h)
//   8. Resume            lets CRIU go on; CompareRights; RestoreAttributes, and what only the
//                        processes themselves can do (warden/criu/late_calls.h), the last moment
//                        before anything runs
#include "warden/checkpoint/restore.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/duration.h"
#include "base/files.h"
#include "base/log.h"
#include "warden/attributes/attributes.h"
#include "warden/checkpoint/preflight.h"
#include "warden/checkpoint/work_directory.h"
#include "warden/criu/comparison.h"
#include "warden/criu/criu.h"
#include "warden/criu/images.h"
#include "warden/criu/images_rights.h"
#include "warden/criu/late_calls.h"
#include "warden/criu/orphans.h"
#include "warden/criu/terminals.h"
#include "warden/files/gone_names.h"
#include "warden/files/nameless.h"
#include "warden/files/scratch.h"
#include "warden/isolation/affinity.h"
#include "warden/isolation/clocks.h"
#include "warden/isolation/pod_files.h"
#include "warden/memory/huge_pages.h"
#include "warden/memory/restore_memory.h"
#include "warden/memory/userfault.h"

namespace holdfast::warden {
namespace {

using Clock = Criu::Clock;

// CRIU's helpers take pids too, from after the last one given; far below this there is none left.
constexpr uint32_t kRoomForHelpers = 1000;

// What restore itself needs to know from the images.
struct Images {
  FileImages of_files;
  MemoryImages memory;
  SavedProcesses processes;
  Orphans orphans;
  std::string terminals, attributes;  // checkpoints of earlier versions have none
  uint32_t highest_pid = 0;
};

// The security label of a process of the pod that is not restored; empty without an LSM.
std::string PodLabel(const Pod& pod) {
  std::string label = ReadFile(pod.proc_path() + "/1/attr/current").value_or("");
  while (!label.empty() && (label.back() == '\n' || label.back() == '\0')) label.pop_back();
  return label == "unconfined" ? "" : label;
}

Status InspectImage(const Pod& pod, const std::string& label, const std::string& name,
                    const std::string& contents, Images& images) {
  if (name.starts_with("core-")) return CheckCoreRights(name, contents, pod.options().owner, label);
  if (name.starts_with("ghost-file-")) return CheckGhostRights(name, contents, pod.options().owner);
  if (name == "files.img") {
    HOLDFAST_TRY(images.of_files.files,
                 ParseImage<image::file_entry>(name, contents, ImageMagic::kFiles));
  } else if (name == "remap-fpath.img") {
    HOLDFAST_TRY(images.of_files.remaps,
                 ParseImage<image::remap_file_path_entry>(name, contents, ImageMagic::kRemapPath));
  } else if (name == kPstreeImage) {
    HOLDFAST_TRY(const auto processes,
                 ParseImage<image::pstree_entry>(name, contents, ImageMagic::kPstree));
    for (const image::pstree_entry& process : processes) {
      for (const uint32_t pid : {process.pid(), process.pgid(), process.sid()})
        images.highest_pid = std::max(images.highest_pid, pid);
      for (const uint32_t thread : process.threads())
        images.highest_pid = std::max(images.highest_pid, thread);
    }
    images.orphans = PlaceOrphans(processes);
  }
  return {};
}

Result<Images> LoadImages(const Pod& pod, storage::PodReader& reader, const UniqueFd& directory,
                          bool lazy) {
  Images images;
  const std::string label = PodLabel(pod);
  for (const std::string& name : reader.images()) {
    if (name == kTerminalsImage) {
      HOLDFAST_TRY(images.terminals, reader.ReadImage(name));
    }
    if (name == kAttributesImage) {
      HOLDFAST_TRY(images.attributes, reader.ReadImage(name));
    }
    if (name == kScratchTable || name == kBindingsImage || name == kAttributesImage ||
        name == kTerminalsImage)
      continue;
    if (!IsImageName(name)) return Fail(Code::kCorrupt, "an image is called " + name);
    HOLDFAST_TRY(std::string contents, reader.ReadImage(name));
    HOLDFAST_CHECK(InspectImage(pod, label, name, contents, images));
    if (name == kPstreeImage) contents = images.orphans.Image();
    HOLDFAST_CHECK(images.processes.Note(name, contents));
    if (lazy) HOLDFAST_CHECK(NoteMemoryImage(name, contents, images.memory));
    HOLDFAST_TRY(const UniqueFd file, CreateImage(directory, name, pod.options().owner));
    HOLDFAST_CHECK(WriteFull(file, AsBytes(contents)));
  }
  KeepEager(images.memory);
  for (const auto& [pid, pagemap] : images.memory.pagemaps) {
    HOLDFAST_TRY(const UniqueFd file,
                 OpenAt(directory, "pagemap-" + std::to_string(pid) + ".img", O_WRONLY | O_TRUNC));
    HOLDFAST_CHECK(WriteFull(file, AsBytes(SerializePagemap(pagemap))));
  }
  return images;
}

// Makes the next process of the pod get a pid above all that the images need.
Status SkipPids(const Pod& pod, uint32_t highest_pid) {
  HOLDFAST_TRY(const std::string text, ReadFile("/proc/sys/kernel/pid_max"));
  const uint64_t limit = std::stoul(text);
  if (uint64_t{highest_pid} + kRoomForHelpers >= limit) return {};
  SpawnOptions options;
  options.argv = {"/bin/sh", "-c",
                  "echo " + std::to_string(highest_pid) + " > /proc/sys/kernel/ns_last_pid"};
  pod.Enter(options);
  HOLDFAST_TRY(const CommandOutput output, RunCommand(options, std::chrono::seconds(10)));
  if (!output.status.ok()) return Fail(Code::kInternal, "choosing pids for CRIU: " + output.output);
  return {};
}

// What CRIU's library is told.
struct Library {
  std::string calls;  // records of late_calls.h
  UniqueFd file;      // where they go, when all is restored
  NamelessFiles nameless;
  std::string adopters;  // orphans.h
};

Result<Library> PrepareLibrary(const Pod& pod, const Images& images, const UniqueFd& directory) {
  Library library;
  HOLDFAST_TRY(library.nameless, NamelessFiles::Open(pod, images.of_files, directory));
  HOLDFAST_TRY(library.calls, LateCalls(images.attributes));
  library.adopters = images.orphans.Variable();
  library.file = UniqueFd(::memfd_create("holdfast-calls", MFD_CLOEXEC));
  if (!library.file.valid()) return FailErrno("making a file in memory");
  return library;
}

class Restored final : public HeldPod {
 public:
  Restored(Pod& pod, Criu criu, WorkDirectory directory, RollbackReport rolled_back,
           std::unique_ptr<LazyMemory> memory, std::map<pid_t, SavedProcess> saved,
           std::string attributes, Library library)
      : pod_(pod),
        memory_(std::move(memory)),
        criu_(std::move(criu)),
        directory_(std::move(directory)),
        rolled_back_(std::move(rolled_back)),
        saved_(std::move(saved)),
        attributes_(std::move(attributes)),
        library_(std::move(library)) {}
  ~Restored() override {
    if (!resumed_ || memory_) [[maybe_unused]]
      const Status killed = pod_.Kill();
  }

  Status Resume() override {
    criu_.GrantTime();
    Status status = criu_.WaitForStage("pre-resume");
    if (status) status = CompareRights(pod_, saved_);
    if (status) status = RestoreAttributes(pod_, attributes_);
    if (status) status = WriteFull(library_.file, AsBytes(library_.calls));
    if (status) status = criu_.Finish();
    if (!status)
      return std::unexpected(std::move(status).error().Wrap("letting the processes go on"));
    resumed_ = true;
    return {};
  }

  std::unique_ptr<LazyMemory> TakeMemory() override { return std::move(memory_); }
  const RollbackReport& rolled_back() const override { return rolled_back_; }

 private:
  Pod& pod_;
  std::unique_ptr<LazyMemory> memory_;
  Criu criu_;
  WorkDirectory directory_;
  RollbackReport rolled_back_;
  std::map<pid_t, SavedProcess> saved_;
  std::string attributes_;
  Library library_;
  bool resumed_ = false;
};

Result<Criu> RunCriu(Pod& pod, const RestoreOptions& options, const UniqueFd& directory,
                     const Library& library, const Attributes& saved, uint32_t highest_pid,
                     bool lazy) {
  HOLDFAST_CHECK(SetClocks(pod, saved));
  HOLDFAST_CHECK(SkipPids(pod, highest_pid));
  rpc::criu_req request;
  request.set_type(rpc::RESTORE);
  *request.mutable_opts() = CommonOptions();
  request.mutable_opts()->set_lazy_pages(lazy);
  CriuRun run{.program = options.criu,
              .log_path = options.log_directory + "/restore.log",
              .images = &directory,
              .preload = options.criu_preload,
              .preload_fds = {{library.file.get(), kCallsFd}},
              .preload_environment = {library.adopters}};
  library.nameless.GiveTo(run);
  HOLDFAST_TRY(Criu criu, Criu::Start(pod, run, request, Clock::now() + options.timeout));
  HOLDFAST_CHECK(criu.WaitForStage("setup-namespaces"));
  HOLDFAST_CHECK(criu.CheckPreload(run));
  HOLDFAST_CHECK(pod.CoverSysctls());
  HOLDFAST_CHECK(criu.WaitForStage("post-setup-namespaces"));
  HOLDFAST_CHECK(pod.UncoverSysctls());
  HOLDFAST_CHECK(criu.WaitForStage("post-restore"));
  return criu;
}

Result<RollbackReport> PutBackFiles(const Pod& pod, storage::PodReader& reader,
                                    const RestoreOptions& options) {
  HOLDFAST_TRY(const UniqueFd root, OpenPodRoot(pod));
  return RollBackFiles(root, pod.options().owner, reader.files(), options.files, options.rollback);
}

// As it is wanted or, if that cannot be, in files; then the timeline is told.
MemoryComes HowMemoryComes(const RestoreOptions& options, const EventSink& events) {
  if (options.memory == MemoryComes::kInFiles) return options.memory;
  const Status usable = CheckUserfaultfd();
  if (usable) return options.memory;
  events("eager-restore", {}, usable.error().message());
  return MemoryComes::kInFiles;
}

// Once all memory is there.
std::function<void(const std::stop_token&)> HugePageMaker(
    const Pod& pod, const MemoryImages& images, const std::map<pid_t, LazyProcess>& coming,
    const EventSink& events) {
  const auto rules = HugePageRules::OfThisNode();
  return [&pod, events, rules,
          plan = PlanHugePages(rules, images, coming)](const std::stop_token& stop) {
    if (plan.empty()) return;
    const auto begin = Clock::now();
    const uint64_t made = MakeHugePages(pod, rules, plan, stop);
    events("huge-pages", Clock::now() - begin, FormatBytes(made));
  };
}

LazyOptions HowToFill(const Pod& pod, const RestoreOptions& options, const EventSink& events) {
  return {.threads = options.threads,
          .owner = pod.options().owner,
          .kill = [&pod] { pod.Condemn(); },
          .hold = [&pod](const UniqueFd& fd) { return pod.Hold(fd); },
          .let_go = [&pod] { pod.LetGo(); },
          .complete =
              [events](uint64_t bytes, std::chrono::nanoseconds took) {
                events("pages-in", took, FormatBytes(bytes));
              }};
}

}  // namespace

Result<std::unique_ptr<HeldPod>> HeldPod::Restore(Pod& pod, storage::PodReader& reader,
                                                  const RestoreOptions& options,
                                                  const EventSink& events) {
  auto begin = Clock::now();
  const auto lap = [&](const char* name, const std::string& detail) {
    events(name, Clock::now() - begin, detail);
    begin = Clock::now();
  };
  const auto restore = [&]() -> Result<std::unique_ptr<HeldPod>> {
    // Groups may have come since, or in another order; each one that a process has is looked at.
    if (reader.info().owner.uid != pod.options().owner.uid)
      return Fail(Code::kDenied, "the checkpoint belongs to uid " +
                                     std::to_string(reader.info().owner.uid) + ", the pod to uid " +
                                     std::to_string(pod.options().owner.uid));
    HOLDFAST_TRY(const CriuVersion version, FindCriu(options.criu));
    HOLDFAST_CHECK(CompareNodes(reader.info().attributes, DescribeNode(version)));
    HOLDFAST_CHECK(MakeDirectories(options.log_directory, 0700));
    HOLDFAST_TRY(WorkDirectory directory,
                 WorkDirectory::Create(options.work_directory, pod.options().owner));
    const MemoryComes comes = HowMemoryComes(options, events);
    HOLDFAST_TRY(const Images images,
                 LoadImages(pod, reader, directory.fd(), comes != MemoryComes::kInFiles));
    HOLDFAST_TRY(auto saved, images.processes.Processes());
    HOLDFAST_TRY(auto lazy, PlanLazy(images.memory, reader));
    HOLDFAST_TRY(const scratch::Table scratch, RestoreScratch(pod, reader, options.threads));
    lap("scratch", "");
    HOLDFAST_TRY(RollbackReport rolled_back, PutBackFiles(pod, reader, options));
    if (const std::string what = rolled_back.Summary(options.rollback.checkpoint); !what.empty())
      lap("rolled-back", what);
    HOLDFAST_CHECK(CheckOpenFiles(pod, images.of_files.files, images.of_files.remaps));
    lap("preflight", "");
    HOLDFAST_TRY(const uint64_t bytes, LoadMemory(directory.fd(), reader, lazy, images.memory,
                                                  pod.options().owner, options.threads));
    lap("memory", FormatBytes(bytes));
    std::unique_ptr<LazyMemory> memory;
    if (!lazy.empty()) {
      LazyOptions filling = HowToFill(pod, options, events);
      filling.afterwards = HugePageMaker(pod, images.memory, lazy, events);
      HOLDFAST_TRY(memory,
                   LazyMemory::Listen(directory.fd(), std::move(lazy), reader, std::move(filling)));
    }
    HOLDFAST_CHECK(RemoveGhosts(pod, images.of_files));
    HOLDFAST_TRY(Library library, PrepareLibrary(pod, images, directory.fd()));
    auto criu = RunCriu(pod, options, directory.fd(), library, reader.info().attributes,
                        images.highest_pid, memory != nullptr);
    if (criu) {
      Status as_saved = CompareFiles(pod, saved);
      if (as_saved) as_saved = RemoveLent(pod, scratch);
      if (as_saved) as_saved = library.nameless.SetTimes();
      if (as_saved && !images.terminals.empty()) as_saved = RestoreTerminals(pod, images.terminals);
      if (!as_saved) criu = std::unexpected(std::move(as_saved).error());
    }
    if (criu && memory) {
      Status status = memory->Prefetch();
      if (status && comes == MemoryComes::kFirst) status = memory->Wait(begin + options.timeout);
      if (!status) criu = std::unexpected(std::move(status).error());
    }
    if (!criu) {
      // Before `memory` goes: a process that waits for a page would go on with zeros.
      [[maybe_unused]] const Status killed = pod.Kill();
      if (const Status removed = RemoveGhosts(pod, images.of_files); !removed)
        log::Failure("remove-ghosts", removed.error());
      if (const auto failure = memory ? memory->failure() : std::nullopt)
        return std::unexpected(*failure);
      return std::unexpected(std::move(criu).error());
    }
    lap("criu", "");
    pod.AdoptRoot(static_cast<pid_t>(reader.info().root_pid));
    return std::make_unique<Restored>(pod, *std::move(criu), std::move(directory),
                                      std::move(rolled_back), std::move(memory), std::move(saved),
                                      images.attributes, std::move(library));
  };
  return restore().transform_error([&](Error error) {
    return std::move(error).Wrap("restoring pod " + std::to_string(pod.options().index));
  });
}

}  // namespace holdfast::warden
