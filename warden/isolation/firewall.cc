#include "warden/isolation/firewall.h"

#include <fmt/format.h>
#include <nftables/libnftables.h>

#include <cstdlib>

#include "base/files.h"
#include "warden/isolation/network.h"

namespace holdfast::warden {

void Firewall::Closer::operator()(nft_ctx* context) const { ::nft_ctx_free(context); }

Result<Firewall> Firewall::Open() {
  std::unique_ptr<nft_ctx, Closer> context(::nft_ctx_new(NFT_CTX_DEFAULT));
  if (!context || ::nft_ctx_buffer_error(context.get()) != 0 ||
      ::nft_ctx_buffer_output(context.get()) != 0)
    return Fail(Code::kInternal, "opening nftables");
  ::nft_ctx_input_set_flags(context.get(), NFT_CTX_INPUT_NO_DNS);
  return Firewall(std::move(context));
}

Status Firewall::Run(const std::string& commands) {
  if (::nft_run_cmd_from_buffer(context_.get(), commands.c_str()) == 0) return {};
  return Fail(Code::kInternal,
              fmt::format("nftables: {}", ::nft_ctx_get_error_buffer(context_.get())));
}

Status GuardVxlanPort(uint16_t port) {
  constexpr const char* kFirstUserPort = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
  HOLDFAST_TRY(const std::string first, ReadFile(kFirstUserPort));
  if (std::atoi(first.c_str()) <= kLastSourcePort)
    return Fail(Code::kUnsupported,
                fmt::format("{} is {}: any user of this node could send packets into a job's "
                            "network; set it to {} or more",
                            kFirstUserPort, std::atoi(first.c_str()), kLastSourcePort + 1));
  HOLDFAST_TRY(Firewall firewall, Firewall::Open());
  return firewall
      .Run(fmt::format("add table inet holdfast_guard\n"
                       "add chain inet holdfast_guard port{0} "
                       "{{ type filter hook input priority raw; }}\n"
                       "flush chain inet holdfast_guard port{0}\n"
                       "add rule inet holdfast_guard port{0} udp dport {0} udp sport > {1} drop\n",
                       port, kLastSourcePort))
      .transform_error([&](Error error) {
        return std::move(error).Wrap(fmt::format("guarding UDP port {}", port));
      });
}

}  // namespace holdfast::warden
