// The gRPC server that wardens call. A stream's thread proves who is at its other end, checks that
// against Slurm's record of the job, and then hands every message to the controller.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "base/result.h"
#include "coordinator/authenticator.h"
#include "coordinator/controller.h"
#include "coordinator/slurm_client.h"
#include "protocol/holdfast.grpc.pb.h"

namespace holdfast::coordinator {

class WardenService final : public v1::Coordinator::Service {
 public:
  // All must outlive it.
  WardenService(Controller& controller, SlurmClient& slurm, Authenticator& authenticator)
      : controller_(controller), slurm_(slurm), authenticator_(authenticator) {}

  // Listens on "HOST:PORT"; port 0 picks a free one.
  Status Listen(const std::string& address);
  int port() const { return port_; }
  // Ends all streams and waits for their threads. Stop the controller first.
  void Shutdown();

  grpc::Status Attach(grpc::ServerContext* context,
                      grpc::ServerReaderWriter<v1::ToWarden, v1::FromWarden>* stream) override;

 private:
  Status Admit(const v1::Hello& hello, const std::string& nonce);

  Controller& controller_;
  SlurmClient& slurm_;
  Authenticator& authenticator_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

}  // namespace holdfast::coordinator
