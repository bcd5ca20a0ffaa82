// What a task of an MPI program says to the PMI server in its step's daemon. The first byte is
// where the bytes are cut in two, for requests that come in pieces.
#include <sys/socket.h>

#include <algorithm>

#include "pod/steps/mpi/pmi_server.h"
#include "tests/fuzz/fuzz.h"

namespace holdfast::fuzz {
namespace {

// The only node: what it contributes comes back at once.
class Host final : public pod::PmiHost {
 public:
  void Contribute(const pod::Contribution& contribution) override {
    contributions.push_back(contribution);
  }
  void Complain(size_t, const std::string&) override {}
  void Abort() override {}

  std::vector<pod::Contribution> contributions;
};

}  // namespace

void Feed(std::string_view bytes) {
  Host host;
  auto server = pod::PmiServer::Open(
      {.name = "7.0", .tasks = {0, 1}, .size = 2, .mapping = "(vector,(0,1,2))"}, host);
  if (!server) return;
  auto one = server->Connect(0);
  auto other = server->Connect(1);
  if (!one || !other) return;
  const size_t cut = Choose(bytes, 256);
  const std::string_view pieces[] = {bytes.substr(0, cut),
                                     bytes.substr(std::min(cut, bytes.size()))};
  for (const std::string_view piece : pieces) {
    for (const UniqueFd* task : {&*one, &*other})
      (void)::send(task->get(), piece.data(), piece.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    server->Serve();
    for (const pod::Contribution& contribution : std::exchange(host.contributions, {}))
      (void)server->Deliver({contribution.name, contribution.data});
  }
}

std::vector<std::string> Seeds() {
  return {
      std::string(1, '\7') +
          "cmd=init pmi_version=1 pmi_subversion=1\ncmd=get_maxes\ncmd=get_appnum\n"
          "cmd=get_my_kvsname\ncmd=put kvsname=7.0 key=a value=b\ncmd=barrier_in\n"
          "cmd=get kvsname=7.0 key=a\ncmd=get_universe_size\ncmd=finalize\n",
      std::string(1, '\0') + "mcmd=spawn\nnprocs=1\nexecname=x\nendcmd\ncmd=abort exitcode=3\n",
      std::string(1, '\7') +
          "cmd=init pmi_version=2 pmi_subversion=0\n    39cmd=fullinit;pmirank=0;threaded=FALSE;"
          "    29cmd=kvs-put;key=a;value=bbbbb;    14cmd=kvs-fence;"
          "    35cmd=kvs-get;jobid=7.0;srcid=0;key=a;    22cmd=info-getjobattr;k=;"
          "    39cmd=info-putnodeattr;key=n;value=v;;;;;    36cmd=info-getnodeattr;key=n;wait=TRUE;"
          "    13cmd=finalize;",
  };
}

}  // namespace holdfast::fuzz
