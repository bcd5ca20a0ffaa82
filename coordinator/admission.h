// What proves that a warden is whom it says: MUNGE, and Slurm's record of its job. Both take time,
// so streams wait here and not in gRPC's threads; and Slurm is asked once about the jobs of all
// that wait, for after a restart of the coordinator, or at the start of a large job, they come by
// the thousand. Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/result.h"
#include "coordinator/authenticator.h"
#include "coordinator/controller.h"
#include "coordinator/slurm_client.h"
#include "coordinator/warden_stream.h"

namespace holdfast::coordinator {

// Whether Slurm's record bears out what the warden says of its job. kDenied if it can never be
// admitted.
Status CheckHello(const v1::Hello& hello, const Record& record);
// kDenied if the warden's node belongs to another cluster than the coordinator's.
Status CheckCluster(const v1::Hello& hello, const std::string& cluster);

class Admission final : public WardenStream::Host {
 public:
  // All must outlive it.
  Admission(Controller& controller, SlurmClient& slurm, Authenticator& authenticator);
  // When gRPC's server has been shut down.
  ~Admission() override;

  // A stream that has not said Hello yet, and is closed if it takes too long.
  void Expect(const std::shared_ptr<WardenStream>& stream);
  void Admit(std::shared_ptr<WardenStream> stream) override;
  void Seal(std::shared_ptr<WardenStream> stream) override;

 private:
  using Time = std::chrono::steady_clock::time_point;
  using Streams = std::vector<std::shared_ptr<WardenStream>>;

  void RunAdmitting();
  void RunSealing();
  void AdmitAll(Streams streams);
  // Asks Slurm about those whose job is not known well enough, and which cluster it is.
  Status LookUp(const Streams& streams);
  // With the mutex held.
  Streams TakeNewcomers();
  Streams TakeSilent(Time now);  // whose time is over

  Controller& controller_;
  SlurmClient& slurm_;
  Authenticator& authenticator_;

  std::mutex mutex_;
  std::condition_variable newcomers_changed_;
  std::condition_variable unsealed_changed_;
  std::deque<std::pair<Time, std::weak_ptr<WardenStream>>> silent_;  // by when Hello is due
  std::deque<std::shared_ptr<WardenStream>> newcomers_;
  std::deque<std::shared_ptr<WardenStream>> unsealed_;
  bool stopping_ = false;
  // Of the admitting thread alone.
  std::map<uint32_t, Record> recent_;  // since then
  Time recent_since_;
  std::string cluster_;  // once Slurm has been asked
  std::thread admitting_;
  std::thread sealing_;
};

}  // namespace holdfast::coordinator
