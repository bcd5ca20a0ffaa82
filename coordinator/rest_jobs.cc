#include "coordinator/rest_jobs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <httplib.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "base/numbers.h"
#include "coordinator/clock.h"
#include "coordinator/rest_body.h"
#include "coordinator/rest_json.h"
#include "coordinator/state.h"

namespace holdfast::coordinator {
namespace {

using nlohmann::json;

constexpr uint32_t kMaxWaitSeconds = 600;

// A job that `of` names, as our words for it or Slurm's say.
struct Filter {
  std::vector<std::string> states;
  std::optional<uid_t> user;
  std::string partition;

  bool Has(const Job& job) const {
    const auto is = [&](const std::string& state) {
      return state == StateOf(job) || state == job.slurm_state;
    };
    return (states.empty() || std::ranges::any_of(states, is)) && (!user || *user == job.uid) &&
           (partition.empty() || partition == job.partition);
  }
};

Result<Filter> ReadFilter(const httplib::Request& request) {
  Filter filter;
  HOLDFAST_TRY(filter.states, ReadWords(request, "state"));
  HOLDFAST_TRY(filter.partition, ReadWord(request, "partition"));
  HOLDFAST_TRY(const std::string user, ReadWord(request, "user"));
  if (user.empty()) return filter;
  filter.user = UidOf(user);
  if (!filter.user) filter.user = ParseNumber<uid_t>(user);
  if (!filter.user)
    return Fail(Code::kInvalid, fmt::format("user={}: there is no such user", user));
  return filter;
}

json Place(const Job& job) {
  return {{"job_id", job.id}, {"cluster", job.cluster}, {"submitted", job.submitted},
          {"uid", job.uid},   {"gid", job.gid},         {"directory", job.options.directory}};
}

std::string PathOf(const Job& job, uint32_t checkpoint) {
  return fmt::format("/v1/jobs/{}/checkpoints/{}", job.id, checkpoint);
}

}  // namespace

// One of the threads that may wait for a checkpoint: not all of them, and no user has most.
class RestJobs::Seat {
 public:
  Seat(RestJobs& jobs, uid_t uid) : jobs_(jobs), uid_(uid) {
    const std::lock_guard lock(jobs_.seats_mutex_);
    size_t all = 0;
    for (const auto& [user, count] : jobs_.taken_) all += count;
    const auto mine = jobs_.taken_.find(uid);
    is_taken_ = all < jobs_.seats_.first &&
                (mine == jobs_.taken_.end() || mine->second < jobs_.seats_.second);
    if (is_taken_) ++jobs_.taken_[uid];
  }
  Seat(const Seat&) = delete;
  Seat& operator=(const Seat&) = delete;
  ~Seat() {
    const std::lock_guard lock(jobs_.seats_mutex_);
    if (is_taken_ && --jobs_.taken_[uid_] == 0) jobs_.taken_.erase(uid_);
  }
  bool is_taken() const { return is_taken_; }

 private:
  RestJobs& jobs_;
  const uid_t uid_;
  bool is_taken_ = false;
};

Result<Job> RestJobs::Find(const httplib::Request& request, const Caller& caller) {
  const std::string text = request.matches[1];
  const size_t line = text.find('_');
  const auto number = ParseNumber<uint32_t>(text.substr(0, line)).value_or(0);
  std::optional<Job> job;
  if (line == text.npos)
    job = controller_.Find(number);
  else if (const auto task = ParseNumber<uint32_t>(text.substr(line + 1)))
    job = controller_.Find(ArrayTask{.job = number, .task = *task});
  // Somebody else's job and none at all look the same.
  if (!job || !rights_.Of(caller.uid).Cover(*job))
    return Fail(Code::kNotFound,
                fmt::format("job {} is not known here: it was not submitted with --checkpoint, has "
                            "not started yet, or is not yours",
                            text));
  return *job;
}

Result<Reply> RestJobs::List(const httplib::Request& request, const Caller& caller) {
  HOLDFAST_CHECK(KnowParameters(request, {"state", "user", "partition", "limit", "cursor"}));
  HOLDFAST_TRY(const Filter filter, ReadFilter(request));
  HOLDFAST_TRY(const uint32_t limit, ReadLimit(request));
  HOLDFAST_TRY(const std::string cursor, ReadWord(request, "cursor"));
  const auto after = cursor.empty() ? 0 : ParseNumber<uint32_t>(cursor);
  if (!after)
    return Fail(Code::kInvalid, fmt::format("cursor={}: that is no `next` of an answer", cursor));
  const Rights rights = rights_.Of(caller.uid);
  // One more tells whether there is another page.
  std::vector<Job> found = controller_.List(
      [&](const Job& job) { return rights.Cover(job) && filter.Has(job); }, *after, limit + 1U);
  const bool more = found.size() > limit;
  if (more) found.pop_back();
  json jobs = json::array();
  for (const Job& job : found) jobs.push_back(Summary(job));
  return Reply{.body = {{"jobs", jobs},
                        {"next", more ? json(fmt::format("{}", found.back().id)) : json(nullptr)}}};
}

Result<Reply> RestJobs::Show(const httplib::Request& request, const Caller& caller) {
  HOLDFAST_TRY(const Job job, Find(request, caller));
  HOLDFAST_TRY(const History history, controller_.HistoryOf(job.id, kHistoryKept));
  json details = Details(job, history, NowNs());
  const auto kept_for = KeptFor(job, controller_.policy());
  details["kept_for_seconds"] = kept_for ? json(kept_for->count()) : json(nullptr);
  return Reply{.body = details};
}

Result<Reply> RestJobs::ListCheckpoints(const httplib::Request& request, const Caller& caller) {
  HOLDFAST_TRY(const Job job, Find(request, caller));
  HOLDFAST_TRY(const History history, controller_.HistoryOf(job.id, 0));
  json checkpoints = json::array();
  for (const Checkpoint& checkpoint : history.checkpoints)
    checkpoints.push_back(ToJson(checkpoint, job));
  return Reply{.body = {{"job_id", job.id}, {"checkpoints", checkpoints}}};
}

Result<Reply> RestJobs::ShowCheckpoint(const httplib::Request& request, const Caller& caller) {
  HOLDFAST_TRY(const Job job, Find(request, caller));
  HOLDFAST_TRY(const History history, controller_.HistoryOf(job.id, 0));
  const auto number = ParseNumber<uint32_t>(request.matches[2].str());
  for (const Checkpoint& checkpoint : history.checkpoints)
    if (checkpoint.number == number)
      return Reply{.body = {{"job_id", job.id}, {"checkpoint", ToJson(checkpoint, job)}}};
  return Fail(Code::kNotFound,
              fmt::format("job {} has no checkpoint {}", job.id, request.matches[2].str()));
}

Result<Reply> RestJobs::RemoveCheckpoint(const httplib::Request& request, const Caller& caller) {
  HOLDFAST_TRY(const Job job, Find(request, caller));
  const auto number = ParseNumber<uint32_t>(request.matches[2].str()).value_or(0);
  if (!std::ranges::contains(job.saved, number) && !std::ranges::contains(job.unwanted, number))
    return Fail(Code::kNotFound,
                fmt::format("job {} has no checkpoint {}", job.id, request.matches[2].str()));
  if (!std::ranges::contains(job.unwanted, number))
    HOLDFAST_CHECK(controller_.Unwant(job.id, number));
  return Reply{.body = {{"job_id", job.id}}, .status = 202, .location = PathOf(job, number)};
}

Result<Reply> RestJobs::Save(const httplib::Request& request, const Caller& caller) {
  HOLDFAST_TRY(const Job job, Find(request, caller));
  HOLDFAST_TRY(const json body, ParseBody(request.body, {"stop"}));
  Wish wish{.reason = Reason::kSave};
  HOLDFAST_TRY(wish.stop, ReadFlag(body, "stop"));
  wish.hold = wish.stop;
  return Begin(request, caller, job, std::move(wish));
}

Result<Reply> RestJobs::Stop(const httplib::Request& request, const Caller& caller) {
  HOLDFAST_TRY(const Job job, Find(request, caller));
  HOLDFAST_CHECK(ParseBody(request.body, {}));
  return Begin(request, caller, job, {.reason = Reason::kSave, .stop = true, .hold = true});
}

Result<Reply> RestJobs::Migrate(const httplib::Request& request, const Caller& caller) {
  HOLDFAST_TRY(const Job job, Find(request, caller));
  HOLDFAST_TRY(const json body, ParseBody(request.body, {"exclude", "nodes", "onto"}));
  Wish wish{.reason = Reason::kMigrate, .stop = true};
  HOLDFAST_TRY(wish.excluded, ReadNodes(body, "exclude"));
  HOLDFAST_TRY(wish.nodes, ReadNumber(body, "nodes"));
  HOLDFAST_TRY(const std::vector<std::string> onto, ReadNodes(body, "onto"));
  if (!onto.empty()) {
    if (!wish.excluded.empty())
      return Fail(Code::kInvalid, "'onto' and 'exclude' exclude each other");
    HOLDFAST_TRY(const std::vector<NodeRecord> nodes, slurm_.LoadNodes());
    for (const std::string& name : onto)
      if (!std::ranges::contains(nodes, name, &NodeRecord::name))
        return Fail(Code::kInvalid, fmt::format("'onto': Slurm has no node {}", name));
    // Slurm is told where not to, for what it is told where to it takes for all of that.
    for (const NodeRecord& node : nodes)
      if (!std::ranges::contains(onto, node.name)) wish.excluded.push_back(node.name);
    if (wish.nodes == 0 && onto.size() < std::set(job.nodes().begin(), job.nodes().end()).size())
      wish.nodes = static_cast<uint32_t>(onto.size());
  } else if (wish.excluded.empty() && wish.nodes == 0) {
    std::ranges::copy_if(job.nodes(), std::back_inserter(wish.excluded),
                         [&](const std::string& node) { return !job.must_be_on(node); });
  }
  return Begin(request, caller, job, std::move(wish));
}

Result<Reply> RestJobs::Begin(const httplib::Request& request, const Caller& caller, const Job& job,
                              Wish wish) {
  HOLDFAST_TRY(uint32_t wait_seconds, ReadParameter(request, "wait", 0, 0, kMaxWaitSeconds));
  const Seat seat(*this, caller.uid);
  // It is answered at once: the checkpoint is under way.
  if (!seat.is_taken()) wait_seconds = 0;
  HOLDFAST_TRY(const uint32_t number, controller_.Save(job.id, std::move(wish)));
  HOLDFAST_TRY(const Checkpoint checkpoint,
               controller_.Await(job.id, number, std::chrono::seconds(wait_seconds)));
  if (!checkpoint.error.empty()) return Fail(Code::kInternal, checkpoint.error);
  return Reply{.body = {{"job_id", job.id},
                        {"checkpoint", ToJson(checkpoint, controller_.Find(job.id).value_or(job))}},
               .status = checkpoint.committed_ns != 0 ? 200 : 202,
               .location = PathOf(job, number)};
}

Result<Reply> RestJobs::Resume(const httplib::Request& request, const Caller& caller) {
  HOLDFAST_TRY(const Job job, Find(request, caller));
  HOLDFAST_TRY(const json body,
               ParseBody(request.body, {"exclude", "nodes", "checkpoint", "from_start"}));
  coordinator::Resume resume;
  HOLDFAST_TRY(resume.excluded, ReadNodes(body, "exclude"));
  HOLDFAST_TRY(resume.nodes, ReadNumber(body, "nodes"));
  HOLDFAST_TRY(resume.from_start, ReadFlag(body, "from_start"));
  HOLDFAST_TRY(resume.checkpoint, ReadNumber(body, "checkpoint"));
  if (resume.from_start && resume.checkpoint != 0)
    return Fail(Code::kInvalid, "'from_start' and 'checkpoint' exclude each other");
  HOLDFAST_CHECK(controller_.ResumeJob(job.id, resume));
  return Reply{
      .body = {{"job_id", job.id}}, .status = 202, .location = fmt::format("/v1/jobs/{}", job.id)};
}

Result<Reply> RestJobs::ListExpired(const httplib::Request&, const Caller& caller) {
  if (!rights_.IsAdministrator(caller.uid))
    return Fail(Code::kDenied,
                "what has expired is for Slurm's administrators and the coordinator's user to see; "
                "`holdfast prune JOB --keep=0` removes what a job of yours has left");
  json jobs = json::array(), unwanted = json::array();
  const std::vector<Job> expired = controller_.Expired();
  for (const Job& job : expired) jobs.push_back(Place(job));
  for (const Job& job : controller_.List([](const Job& each) { return !each.unwanted.empty(); })) {
    if (std::ranges::contains(expired, job.id, &Job::id)) continue;
    json place = Place(job);
    place["checkpoints"] = job.unwanted;
    unwanted.push_back(std::move(place));
  }
  return Reply{.body = {{"jobs", jobs}, {"unwanted", unwanted}}};
}

Result<Reply> RestJobs::NoteRemoved(const httplib::Request& request, const Caller& caller) {
  HOLDFAST_TRY(const Job job, Find(request, caller));
  HOLDFAST_TRY(const json body, ParseBody(request.body, {"checkpoints", "all"}));
  Removed removed;
  HOLDFAST_TRY(removed.all, ReadFlag(body, "all"));
  const json checkpoints = body.value("checkpoints", json::array());
  if (!checkpoints.is_array() ||
      !std::ranges::all_of(checkpoints, [](const json& n) { return n.is_number_unsigned(); }))
    return Fail(Code::kInvalid, "'checkpoints' must be a list of checkpoints' numbers");
  removed.checkpoints = checkpoints.get<std::vector<uint32_t>>();
  HOLDFAST_CHECK(controller_.NoteRemoved(job.id, removed));
  return Reply{.body = {{"job_id", job.id}}};
}

}  // namespace holdfast::coordinator
