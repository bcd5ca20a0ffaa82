// A warden on a simulated node: the real Lifecycle, with its state table, and fakes of all that it
// works with. A pod is no more than what matters of it: whether it runs, and what has been saved of
// it.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/coordinator/simulation/connection.h"
#include "warden/loop/lifecycle.h"

namespace holdfast::simulation {

enum class PodIs { kNothing, kHeld, kRunning, kFrozen, kDead };

// What wardens and their pods do to others.
struct Surroundings {
  Simulation& sim;
  Storage& storage;
  // A warden calls the coordinator. False: nobody answers.
  std::function<bool(const std::shared_ptr<Connection>&)> call;
  std::function<bool(const std::string& node)> reachable;
  // The task beside pod N of the present start gets this from its warden.
  std::function<void(uint32_t pod, const pod::Frame&)> told_task;
  // Everybody's of the present start.
  std::function<std::vector<class WardenProcess*>()> wardens;
  // The script has ended by itself, or by what its user or Slurm wanted. Then the job may.
  bool may_end = false;
  bool ended_by_signal = false;  // that Slurm sent, so its script has had its way
};

class FakeLine final : public warden::CoordinatorLine {
 public:
  FakeLine(Surroundings& world, std::weak_ptr<void> life, std::string node,
           std::function<void()> wake)
      : world_(world), life_(std::move(life)), node_(std::move(node)), wake_(std::move(wake)) {}
  ~FakeLine() override {
    if (connection_) connection_->Cut(100ms);
  }

  void SetHello(v1::Hello hello) override {
    if (!reopened_) return;
    hello_ = std::move(hello);
    Dial(0ms);
  }
  void Reopen() override { reopened_ = true; }
  bool WithdrawHello() override {
    hello_.reset();
    return !connection_;
  }
  void Send(v1::FromWarden message) override {
    if (!connection_ || message.has_event()) return;
    if (attached_)
      connection_->ToCoordinator(message);
    else
      outgoing_.push_back(std::move(message));
  }
  bool attached() const override { return attached_; }
  std::optional<SteadyTime> away_since() const override {
    if (attached_) return std::nullopt;
    return away_since_;
  }
  std::vector<warden::Incoming> Take() override { return std::exchange(incoming_, {}); }

  bool readable() const { return !incoming_.empty(); }
  void Break(milliseconds most) {
    if (connection_) connection_->Cut(most);
  }

 private:
  void Dial(milliseconds pause) {
    if (dialling_ || connection_) return;
    dialling_ = true;
    world_.sim.After(pause + world_.sim.Between(0ms, 100ms), life_, [this] {
      dialling_ = false;
      if (!hello_) return;  // the next one dials
      if (!world_.reachable(node_)) return Dial(5s);
      auto connection = std::make_shared<Connection>(world_.sim, *hello_);
      connection->warden = {.life = life_,
                            .hear_warden = {},
                            .hear_coordinator = [this](const auto& message) { Hear(message); },
                            .lost = [this] { Lose(); }};
      if (!world_.call(connection)) return Dial(1s);
      world_.sim.Trace("{}: says Hello, {}", node_, v1::Phase_Name(hello_->phase()));
      connection_ = std::move(connection);
      hello_.reset();
      reopened_ = false;
    });
  }
  void Hear(const v1::ToWarden& message) {
    if (!std::exchange(attached_, true)) {
      if (!message.has_welcome())
        return world_.sim.Violate("a warden is told something by it knows not whom: " +
                                  message.ShortDebugString());
      for (const v1::FromWarden& waiting : std::exchange(outgoing_, {}))
        connection_->ToCoordinator(waiting);
    }
    incoming_.push_back({.message = message});
    wake_();
  }
  void Lose() {
    world_.sim.Trace("{}: the coordinator is lost", node_);
    connection_.reset();
    if (std::exchange(attached_, false)) away_since_ = world_.sim.now();
    outgoing_.clear();
    incoming_.push_back({.lost = true, .message = {}});
    wake_();
    Dial(500ms);
  }

  Surroundings& world_;
  const std::weak_ptr<void> life_;
  const std::string node_;
  const std::function<void()> wake_;
  std::optional<v1::Hello> hello_;
  std::shared_ptr<Connection> connection_;
  bool dialling_ = false;
  bool reopened_ = true;
  bool attached_ = false;
  SteadyTime away_since_ = world_.sim.now();
  std::deque<v1::FromWarden> outgoing_;
  std::vector<warden::Incoming> incoming_;
};

// An operation takes effect at some time between its beginning and its end.
class FakeRunner final : public warden::Runner {
 public:
  FakeRunner(Simulation& sim, std::weak_ptr<void> life, std::function<void()> wake)
      : sim_(sim), life_(std::move(life)), wake_(std::move(wake)) {}

  bool hurries = false;  // all that is left to do is to kill

  void Run(Task task, Done done) override {
    waiting_.push_back({std::move(task), std::move(done), {}});
    if (++outstanding_ == 1) Next();
  }
  void Collect() override {
    for (Item& item : std::exchange(finished_, {})) {
      --outstanding_;
      item.done(std::move(item.status));
    }
  }
  bool busy() const override { return outstanding_ > 0; }
  bool readable() const { return !finished_.empty(); }

 private:
  struct Item {
    Task task;
    Done done;
    Status status;
  };
  milliseconds Some() {
    return !hurries && sim_.Fault(0.05) ? sim_.Between(1s, 20min) : sim_.Between(1ms, 5s);
  }
  void Next() {
    if (waiting_.empty()) return;
    sim_.After(Some(), life_, [this] {
      waiting_.front().status = waiting_.front().task();
      sim_.After(sim_.Chance(0.5) ? 0ms : Some(), life_, [this] {
        finished_.push_back(std::move(waiting_.front()));
        waiting_.pop_front();
        wake_();
        Next();
      });
    });
  }

  Simulation& sim_;
  const std::weak_ptr<void> life_;
  const std::function<void()> wake_;
  size_t outstanding_ = 0;
  std::deque<Item> waiting_, finished_;
};

class FakeTask final : public warden::TaskLink {
 public:
  FakeTask(Surroundings& world, uint32_t pod) : world_(world), pod_(pod) {}
  Result<pod::Frame> Receive() override {
    if (frames.empty()) return Fail(Code::kNotFound, "the task has gone");
    pod::Frame frame = std::move(frames.front());
    frames.pop_front();
    return frame;
  }
  Status Send(const pod::Frame& frame) override {
    world_.told_task(pod_, frame);
    return {};
  }

  std::deque<pod::Frame> frames;
  bool closed = false;
  bool released = false;  // it waits for SIGTERM

 private:
  Surroundings& world_;
  const uint32_t pod_;
};

class FakeOperations final : public warden::PodOperations {
 public:
  bool ran_out_of_memory() const override { return false; }
  FakeOperations(Surroundings& world, const warden::Job& job, FakeLine& line,
                 std::weak_ptr<void> life, std::function<void()> wake)
      : world_(world), job_(job), line_(line), life_(std::move(life)), wake_(std::move(wake)) {
    for (const uint32_t number : world.storage.committed) Note(number);
  }

  Status Create(const v1::Welcome& welcome) override;
  Status Start() override;
  Status BeginPrecopy(const v1::Precopy& precopy) override;
  Status DropPrecopy() override { return {}; }
  Status Save(const v1::Prepare& prepare) override;
  Status Commit(const v1::Commit& commit) override;
  Status Seal(SteadyTime deadline) override;
  Status Resume(bool drop) override;
  Status Release() override;
  Status Tidy() override;
  Status RemoveCheckpoints() override;

  Result<ExitStatus> TakeExit() override { return exit_; }
  std::optional<Error> damage() const override { return memory_failure_; }
  const v1::Prepared& prepared() const override { return prepared_; }
  const std::vector<v1::Saved>& saved() const override { return saved_; }
  const std::vector<v1::Damaged>& damaged() const override { return damaged_; }
  uint32_t committed() const override { return committed_; }
  const std::string& log_path() const override { return log_path_; }
  Status Signal(const pod::RelayedSignal& signal) override;
  void StandStill() override {}

  // The pod ends: as its root does, or killed.
  void Exit(ExitStatus status);
  void GiveUpDamaged();

  PodIs is = PodIs::kNothing;
  uint32_t restored = 0;     // from that checkpoint
  uint32_t still_since = 0;  // frozen since it was saved for that checkpoint

 private:
  void Note(uint32_t number) {
    v1::Saved& saved = saved_.emplace_back();
    saved.set_number(number);
    saved.set_pods(job_.environment.pods);
  }
  Status Trouble(const char* what, double probability);

  Surroundings& world_;
  const warden::Job& job_;
  FakeLine& line_;
  const std::weak_ptr<void> life_;
  const std::function<void()> wake_;
  ExitStatus exit_;
  std::optional<Error> memory_failure_;
  v1::Prepared prepared_;
  std::vector<v1::Saved> saved_;
  std::vector<v1::Damaged> damaged_;
  uint32_t committed_ = 0;
  uint32_t sealing_ = 0;
  const std::string log_path_ = "/log";
};

class WardenProcess {
 public:
  WardenProcess(Surroundings& world, warden::Job job)
      : job_(std::move(job)),
        world_(world),
        line(world, life_, job_.environment.node, [this] { Wake(); }),
        runner(world.sim, life_, [this] { Wake(); }),
        task(world, job_.pod()),
        operations(world, job_, line, life_, [this] { Wake(); }),
        spot_(job_.environment.node, [](const v1::FromWarden&) {}),
        lifecycle_(job_, task, line, runner, operations, spot_,
                   [&world] { return world.sim.now(); }) {
    lifecycle_.Begin();
  }

  uint32_t start() const { return job_.environment.restart_count; }
  uint32_t pod() const { return job_.pod(); }
  const std::string& node() const { return job_.environment.node; }
  bool left() const { return lifecycle_.left(); }
  std::weak_ptr<void> life() const { return life_; }

  void Wake() {
    if (std::exchange(awake_, true)) return;
    world_.sim.After(0ms, life_, [this] { Turn(); });
  }

 private:
  std::shared_ptr<int> life_ = std::make_shared<int>();
  const warden::Job job_;
  Surroundings& world_;

 public:
  FakeLine line;
  FakeRunner runner;
  FakeTask task;
  FakeOperations operations;

 private:
  void Turn() {
    awake_ = false;
    runner.hurries = operations.is == PodIs::kDead;
    if (lifecycle_.left()) return;
    lifecycle_.Turn({.worker = runner.readable(),
                     .channel = line.readable(),
                     .link = lifecycle_.heeds_link() && (!task.frames.empty() || task.closed),
                     .pod = lifecycle_.watches_pod() && operations.is == PodIs::kDead});
    if (lifecycle_.left()) return;
    if (runner.readable() || line.readable() ||
        (lifecycle_.heeds_link() && (!task.frames.empty() || task.closed)) ||
        (lifecycle_.watches_pod() && operations.is == PodIs::kDead))
      return Wake();
    if (!lifecycle_.has_timers() || std::exchange(ticking_, true)) return;
    world_.sim.After(1s, life_, [this] {
      ticking_ = false;
      Wake();
    });
  }

  warden::Spot spot_;
  warden::Lifecycle lifecycle_;
  bool awake_ = false;
  bool ticking_ = false;
};

}  // namespace holdfast::simulation
