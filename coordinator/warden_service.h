// The gRPC server that wardens call. Each stream (warden_stream.h) is admitted (admission.h), and
// then every message goes to the controller.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "base/result.h"
#include "coordinator/admission.h"
#include "coordinator/controller.h"
#include "protocol/holdfast.grpc.pb.h"

namespace holdfast::coordinator {

class WardenService final : public v1::Coordinator::CallbackService {
 public:
  // All must outlive it.
  WardenService(Controller& controller, SlurmClient& slurm, Authenticator& authenticator)
      : controller_(controller), admission_(controller, slurm, authenticator) {}
  ~WardenService() override { Shutdown(); }

  // Listens on "HOST:PORT"; port 0 picks a free one.
  Status Listen(const std::string& address);
  int port() const { return port_; }
  // Ends all streams and waits until they have ended. Stop the controller first.
  void Shutdown();

  grpc::ServerBidiReactor<v1::FromWarden, v1::ToWarden>* Attach(
      grpc::CallbackServerContext* context) override;

 private:
  Controller& controller_;
  Admission admission_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

}  // namespace holdfast::coordinator
